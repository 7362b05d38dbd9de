//! What was written, as YAML or as flags, and the checked plan that it means.

mod plan;

pub use plan::{
    BatchPlan, Format, IdRule, InFlightPlan, Input, LogFormat, LogLevel, LogPlan, NatsPlan, PIPELINE_DEFAULT, Plan,
    RetryPlan, SourcePlan,
};
