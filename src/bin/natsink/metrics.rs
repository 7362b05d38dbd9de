//! The metrics: the status as Prometheus text.

use std::time::{Duration, Instant};

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};

use super::status::{SinkStatus, Status, Times};

/// What the text is, for the answer's head.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of this moment, as text.
pub(crate) fn text(status: &Status, now: Instant) -> String {
    let mut families = of_sinks(status);
    families.extend(of_pipeline(status, now));
    // Each family has a metric, since there is a sink; a sink without times has no summary.
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families).expect("every family has a name and a metric")
}

fn of_sinks(status: &Status) -> Vec<MetricFamily> {
    let each = |name, help, kind, value: &dyn Fn(&SinkStatus, Metric) -> Metric| {
        let labels = |sink: &SinkStatus| label(&[("pipeline", &status.pipeline), ("sink", &sink.id)]);
        family(
            name,
            help,
            kind,
            status.sinks.iter().map(|sink| value(sink, Metric::from_label(labels(sink)))).collect(),
        )
    };
    let counter = |name, help, value: &dyn Fn(&SinkStatus) -> u64| {
        each(name, help, MetricType::COUNTER, &|sink, metric| counted(metric, value(sink) as f64))
    };
    let gauge = |name, help, value: &dyn Fn(&SinkStatus) -> u64| {
        each(name, help, MetricType::GAUGE, &|sink, metric| gauged(metric, value(sink) as f64))
    };
    vec![
        counter("deltaforge_sink_events_total", "Events delivered: stored, or found stored already.", &|sink| {
            sink.delivered()
        }),
        counter("deltaforge_sink_batch_total", "Batches delivered: advances that the checkpoint took.", &|sink| {
            sink.counts.batches
        }),
        each(
            "deltaforge_sink_latency_seconds",
            "Time of an event from being read to its acknowledgement.",
            MetricType::HISTOGRAM,
            &|sink, metric| timed(metric, &sink.latency),
        ),
        summary_of_acks(status),
        counter("deltaforge_sink_bytes_total", "Payload bytes of the events delivered.", &|sink| sink.counts.bytes),
        counter("deltaforge_sink_duplicates_total", "Of the events delivered, those found stored already.", &|sink| {
            sink.counts.duplicate
        }),
        counter(
            "deltaforge_sink_unverified_duplicates_total",
            "Of the duplicates, those that could not be compared with what is stored.",
            &|sink| sink.counts.unverified,
        ),
        counter("deltaforge_sink_dead_letters_total", "Events written to the dead-letter file.", &|sink| {
            sink.counts.dead
        }),
        counter(
            "deltaforge_sink_gap_events_total",
            "Events that an optional sink missed: its queue was full, or it is over.",
            &|sink| sink.counts.gap,
        ),
        counter("deltaforge_sink_replayed_total", "Messages sent again.", &|sink| sink.replayed),
        counter(
            "deltaforge_sink_inversions_total",
            "Events stored before one that came earlier in the input.",
            &|sink| sink.counts.inversions,
        ),
        counter("deltaforge_sink_reconnects_total", "Connections after the first.", &|sink| sink.reconnects),
        errors(status),
        gauge("deltaforge_sink_in_flight", "Messages sent and not answered.", &|sink| sink.in_flight),
        gauge("deltaforge_sink_pending_events", "Events read that have no outcome yet.", &|sink| sink.counts.pending),
        gauge("deltaforge_sink_position_bytes", "Offset in the input before which everything is settled.", &|sink| {
            sink.position
        }),
        gauge("deltaforge_sink_link_up", "1 while the sink is connected, else 0.", &|sink| sink.up.into()),
        gauge(
            "deltaforge_sink_stream_verified",
            "1 when the stream was looked at and is as it should be, else 0.",
            &|sink| sink.verified.into(),
        ),
        info_of_sinks(status),
    ]
}

fn of_pipeline(status: &Status, now: Instant) -> Vec<MetricFamily> {
    let one =
        |more: &[(&str, &str)]| Metric::from_label(label(&[&[("pipeline", status.pipeline.as_str())], more].concat()));
    let counter = |name, help, value: f64| family(name, help, MetricType::COUNTER, vec![counted(one(&[]), value)]);
    let gauge = |name, help, value: f64| family(name, help, MetricType::GAUGE, vec![gauged(one(&[]), value)]);
    let seconds = |time: Duration| time.as_secs_f64();
    let is_ready = status.reasons(now).is_empty();
    let mut families = vec![
        family(
            "deltaforge_stage_latency_seconds",
            "Time of an event in a stage; of the stage sink, from being read to being settled as the commit policy asks.",
            MetricType::HISTOGRAM,
            vec![timed(one(&[("stage", "sink")]), &status.stage)],
        ),
        counter("deltaforge_input_events_total", "Lines read.", status.counts.read as f64),
        counter("deltaforge_input_skipped_total", "Of the lines read, the blank ones.", status.counts.skipped as f64),
        counter(
            "deltaforge_backpressure_seconds_total",
            "Time for which reading was held up because the window was full.",
            seconds(status.backpressure),
        ),
        gauge(
            "deltaforge_checkpoint_position_bytes",
            "Offset in the input at which a restart would begin.",
            status.checkpoint.position as f64,
        ),
        gauge(
            "deltaforge_checkpoint_age_seconds",
            "Time since the checkpoint moved, or since the start where it has not.",
            seconds(status.checkpoint_age(now)),
        ),
        gauge(
            "deltaforge_stalled_seconds",
            "Time for which something has been pending and nothing was settled; 0 while all goes well.",
            seconds(status.stuck(now)),
        ),
        gauge("deltaforge_ready", "1 when /readyz is green, else 0.", f64::from(u8::from(is_ready))),
        gauge(
            "deltaforge_uptime_seconds",
            "Time since the start.",
            seconds(now.saturating_duration_since(status.started)),
        ),
        family(
            "deltaforge_build_info",
            "1, with the version.",
            MetricType::GAUGE,
            vec![gauged(one(&[("version", env!("CARGO_PKG_VERSION"))]), 1.0)],
        ),
    ];
    if let Some(lag) = status.lag() {
        let help = "Bytes of the input that are not settled; only where its length is known: a file.";
        families.push(gauge("deltaforge_input_lag_bytes", help, lag as f64));
    }
    families
}

fn summary_of_acks(status: &Status) -> MetricFamily {
    let metric = |sink: &SinkStatus| {
        let times = &sink.latency;
        let shares = [(0.5, times.p50_us), (0.99, times.p99_us), (0.999, times.p999_us), (1.0, times.max_us)];
        let quantile = |(share, micros): (f64, Option<u64>)| {
            let mut quantile = Quantile::default();
            quantile.set_quantile(share);
            quantile.set_value(micros? as f64 / 1e6);
            Some(quantile)
        };
        let mut summary = Summary::default();
        summary.set_quantile(shares.into_iter().filter_map(quantile).collect());
        summary.set_sample_count(times.count);
        summary.set_sample_sum(times.sum.as_secs_f64());
        let mut metric = Metric::from_label(label(&[("pipeline", &status.pipeline), ("sink", &sink.id)]));
        metric.set_summary(summary);
        metric
    };
    let help = "Time of an event from being read to its acknowledgement, as quantiles of the whole run; quantile 1 is the longest.";
    let metrics = status.sinks.iter().map(metric).collect();
    family("deltaforge_sink_ack_latency_seconds", help, MetricType::SUMMARY, metrics)
}

fn errors(status: &Status) -> MetricFamily {
    let of = |sink: &SinkStatus| -> Vec<Metric> {
        let metric = |(kind, count): (&&'static str, &u64)| {
            let labels = label(&[("pipeline", &status.pipeline), ("sink", &sink.id), ("kind", kind)]);
            counted(Metric::from_label(labels), *count as f64)
        };
        sink.errors.iter().map(metric).collect()
    };
    let help = "What went wrong and was tried again, by kind.";
    family("deltaforge_sink_errors_total", help, MetricType::COUNTER, status.sinks.iter().flat_map(of).collect())
}

fn info_of_sinks(status: &Status) -> MetricFamily {
    let metric = |sink: &SinkStatus| {
        let labels = label(&[
            ("pipeline", &status.pipeline),
            ("sink", &sink.id),
            ("type", sink.kind),
            ("stream", sink.stream.as_deref().unwrap_or_default()),
            ("required", if sink.required { "true" } else { "false" }),
        ]);
        gauged(Metric::from_label(labels), 1.0)
    };
    let help = "1, with what the sink is.";
    family("deltaforge_sink_info", help, MetricType::GAUGE, status.sinks.iter().map(metric).collect())
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    labels.iter().map(pair).collect()
}

fn counted(mut metric: Metric, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn gauged(mut metric: Metric, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

fn timed(mut metric: Metric, times: &Times) -> Metric {
    let bucket = |(bound, count): (Duration, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(times.within.into_iter().map(bucket).collect());
    histogram.set_sample_count(times.count);
    histogram.set_sample_sum(times.sum.as_secs_f64());
    metric.set_histogram(histogram);
    metric
}
