//! The status as a page for people: one document that brings all it needs and asks for itself anew every two seconds.

use std::fmt::{self, Display, Write as _};
use std::time::{Duration, Instant};

use super::receipt::{bytes, micros, millis};
use super::status::{RATES_MAX, SinkStatus, State, Status};

/// Colours, light and dark, and where things stand.
const STYLE: &str = include_str!("http_page.css");
/// Brings the page up to date without loading it anew: what is selected or scrolled to stays so.
const SCRIPT: &str = include_str!("http_page.js");

/// Height of the curve, in its own units; a second is one unit wide.
const CURVE_HEIGHT: f64 = 20.0;

/// The page as it is at this moment.
pub(crate) fn html(status: &Status, now: Instant) -> String {
    let reasons = status.reasons(now);
    let (word, class) = match (reasons.is_empty(), status.state) {
        (true, _) => ("Delivering", "good"),
        (false, State::Starting) => ("Starting", "busy"),
        (false, State::Running) => ("Not ready", "bad"),
        (false, State::Stopping) => ("Stopping", "busy"),
    };
    let mut page = String::with_capacity(16 * 1024);
    let name = Text(&status.pipeline);
    let written = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
         <title>{word} · {name} · natsink</title>\n<style>\n{STYLE}</style>\n</head>\n<body class=\"{class}\">\n\
         <header>\n<h1><small>natsink</small> {name}</h1>\n<p class=\"badge\" role=\"status\">{word}</p>\n</header>\n\
         <p id=\"gone\" role=\"alert\" hidden>natsink does not answer; these are the last figures it gave.</p>\n<main>\n"
    )
    .and_then(|()| reasons_of(&mut page, &reasons))
    .and_then(|()| tiles(&mut page, status, now))
    .and_then(|()| table(&mut page, status))
    .and_then(|()| {
        write!(
            page,
            "</main>\n<footer><p>natsink {} · up {} · <a href=\"/status\">/status</a> \
             <a href=\"/metrics\">/metrics</a> <a href=\"/readyz\">/readyz</a> <a href=\"/healthz\">/healthz</a></p>\
             </footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            time(now.saturating_duration_since(status.started)),
        )
    });
    written.expect("a String grows");
    page
}

fn reasons_of(page: &mut String, reasons: &[String]) -> fmt::Result {
    if reasons.is_empty() {
        return Ok(());
    }
    page.push_str("<ul class=\"reasons\">\n");
    for reason in reasons {
        writeln!(page, "<li>{}</li>", Text(reason))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

fn tiles(page: &mut String, status: &Status, now: Instant) -> fmt::Result {
    let counts = &status.counts;
    page.push_str("<dl class=\"tiles\">\n");
    writeln!(
        page,
        "<div class=\"wide\"><dt>Events a second</dt><dd>{}<span>the last minute</span></dd>{}</div>",
        grouped(status.rate.last()),
        Curve(&status.rate.seconds)
    )?;
    let mut tile = |name: &str, value: String, more: String, class: &str| {
        writeln!(page, "<div{class}><dt>{name}</dt><dd>{value}<span>{more}</span></dd></div>")
    };
    let calls = |is: bool| if is { " class=\"calls\"" } else { "" };
    let delivered = counts.stored + counts.duplicate;
    tile(
        "Delivered",
        grouped(delivered),
        format!("{}, {} of them duplicates", bytes(counts.bytes), grouped(counts.duplicate)),
        "",
    )?;
    let in_flight: u64 = status.sinks.iter().map(|sink| sink.in_flight).sum();
    tile("Pending", grouped(counts.pending), format!("{} in flight", grouped(in_flight)), "")?;
    tile("Dead letters", grouped(counts.dead), "in the dead-letter file".into(), calls(counts.dead > 0))?;
    match (status.lag(), status.input.len) {
        (Some(lag), Some(len)) => tile("Input to go", bytes(lag), format!("of {}", bytes(len)), "")?,
        _ => tile("Input", grouped(counts.read), format!("lines read, {} blank", grouped(counts.skipped)), "")?,
    }
    match (status.checkpoint.is_kept, status.checkpoint.moved) {
        (false, _) => tile("Checkpoint", "none".into(), "a restart begins anew".into(), "")?,
        (true, None) => {
            tile("Checkpoint", "at rest".into(), format!("at byte {}", grouped(status.checkpoint.position)), "")?
        }
        (true, Some(_)) => {
            let age = status.checkpoint_age(now);
            tile(
                "Checkpoint",
                format!("{} ago", time(age)),
                format!("at byte {}", grouped(status.checkpoint.position)),
                "",
            )?;
        }
    }
    tile("Backpressure", time(status.backpressure), "of waiting for a full window".into(), "")?;
    page.push_str("</dl>\n");
    Ok(())
}

fn table(page: &mut String, status: &Status) -> fmt::Result {
    page.push_str(
        "<section aria-labelledby=\"sinks\">\n<h2 id=\"sinks\">Sinks</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-labelledby=\"sinks\">\n<table>\n<thead><tr><th scope=\"col\">Sink</th><th scope=\"col\">State</th>\
         <th scope=\"col\">Delivered</th><th scope=\"col\">Dead</th><th scope=\"col\">Missed</th>\
         <th scope=\"col\">In flight</th><th scope=\"col\">Ack p50</th><th scope=\"col\">Ack p99</th>\
         <th scope=\"col\">Sent again</th><th scope=\"col\">Reconnects</th></tr></thead>\n<tbody>\n",
    );
    for sink in &status.sinks {
        row(page, sink)?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    Ok(())
}

fn row(page: &mut String, sink: &SinkStatus) -> fmt::Result {
    let to = sink.stream.as_deref().or(sink.server.as_deref()).unwrap_or_default();
    let optional = if sink.required { "" } else { ", optional" };
    let (word, class) = match (sink.up, sink.verified) {
        (true, true) => ("Up", "good"),
        (true, false) => ("Unverified", "busy"),
        (false, _) => ("Down", "bad"),
    };
    let obstacle = sink.obstacle.as_ref().or(sink.server.as_ref()).map_or("", String::as_str);
    let ack = |micros_: Option<u64>| micros_.map_or_else(|| "–".to_owned(), micros);
    writeln!(
        page,
        "<tr><th scope=\"row\">{}<span>{} {}{optional}</span></th><td class=\"{class}\"><b>{word}</b><span>{}</span></td>\
         <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        Text(&sink.id),
        sink.kind,
        Text(&to),
        Text(&obstacle),
        grouped(sink.delivered()),
        grouped(sink.counts.dead),
        grouped(sink.counts.gap),
        grouped(sink.in_flight),
        ack(sink.latency.p50_us),
        ack(sink.latency.p99_us),
        grouped(sink.replayed),
        grouped(sink.reconnects),
    )
}

/// The rate of each of the last seconds as a line; the newest is at the right.
struct Curve<'a>(&'a [u64]);

impl Display for Curve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = RATES_MAX - 1;
        let most = self.0.iter().copied().max().unwrap_or(0).max(1) as f64;
        let first = RATES_MAX - self.0.len().min(RATES_MAX);
        write!(
            f,
            "<svg viewBox=\"0 0 {width} {CURVE_HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"Events a second, at most {most}\">"
        )?;
        if self.0.len() > 1 {
            let mut line = String::new();
            for (index, rate) in self.0.iter().enumerate() {
                let height = CURVE_HEIGHT - *rate as f64 / most * (CURVE_HEIGHT - 1.0);
                write!(line, " {},{height:.1}", first + index)?;
            }
            write!(
                f,
                "<polygon points=\"{first},{CURVE_HEIGHT}{line} {width},{CURVE_HEIGHT}\"/><polyline points=\"{line}\"/>"
            )?;
        }
        f.write_str("</svg>")
    }
}

/// Words of others, in which nothing is markup.
struct Text<'a, T: Display + ?Sized>(&'a T);

impl<T: Display + ?Sized> Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.to_string().chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char if char.is_control() => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

fn time(time: Duration) -> String {
    millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A number whose digits stand in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        let groups = [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")];
        for (number, shown) in groups {
            assert_eq!(grouped(number).replace('\u{202f}', " "), shown);
        }
    }

    #[test]
    fn nothing_that_others_say_is_markup() {
        let shown = Text("<script>alert('a')</script>&\"\u{1b}").to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}");
    }

    #[test]
    fn the_curve_ends_at_the_right() {
        let curve = Curve(&[0, 50, 100]).to_string();
        assert!(curve.contains("<polyline points=\" 57,20.0 58,10.5 59,1.0\"/>"), "{curve}");
        assert!(!Curve(&[7]).to_string().contains("polyline"));
    }
}
