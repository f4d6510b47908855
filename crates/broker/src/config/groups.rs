//! What the settings of groups must be to each other, as Kafka checks when it starts.

use highwater_group::ServerAssignor;
use highwater_metadata::StaticConfig;

use super::listener::items;

/// One sentence for each fault.
pub(super) fn problems(set: &StaticConfig) -> Vec<String> {
    let mut problems = Vec::new();
    for protocol in ["consumer", "share", "streams"] {
        for setting in ["heartbeat.interval.ms", "session.timeout.ms", "assignment.interval.ms"] {
            problems.extend(bounds(set, protocol, setting));
        }
        let (heartbeat, session) =
            (format!("group.{protocol}.heartbeat.interval.ms"), format!("group.{protocol}.session.timeout.ms"));
        if in_order(set, &session, &heartbeat) {
            problems.push(format!("{heartbeat} must be less than {session}"));
        }
    }
    let (standby, standby_max) = ("group.streams.num.standby.replicas", "group.streams.max.standby.replicas");
    if in_order(set, standby_max, standby) && set.number(standby_max) != set.number(standby) {
        problems.push(format!("{standby} must be less than or equal to {standby_max}"));
    }
    problems.extend(assignors(set));
    let codec = "offsets.topic.compression.codec";
    if let Some(id) = set.number(codec).filter(|id| !(0..=CODEC_ID_MAX).contains(id)) {
        problems.push(format!("{codec}: unknown compression type id {id}"));
    }
    problems
}

/// Whether both are numbers and the first is not above the second. What is no number has been complained about.
fn in_order(set: &StaticConfig, first: &str, second: &str) -> bool {
    matches!((set.number(first), set.number(second)), (Some(first), Some(second)) if first <= second)
}

/// A setting that groups may override within a least and a greatest value must lie within them itself.
fn bounds(set: &StaticConfig, protocol: &str, setting: &str) -> Option<String> {
    let value_name = format!("group.{protocol}.{setting}");
    let [min_name, max_name] = ["min", "max"].map(|side| format!("group.{protocol}.{side}.{setting}"));
    let number = |name: &str| set.number(name);
    let (value, min, max) = (number(&value_name)?, number(&min_name)?, number(&max_name)?);
    if max < min {
        return Some(format!("{max_name} must be greater than or equal to {min_name}"));
    }
    if value < min {
        return Some(format!("{value_name} must be greater than or equal to {min_name}"));
    }
    (max < value).then(|| format!("{value_name} must be less than or equal to {max_name}"))
}

/// Kafka loads classes; only its own are here, under their short names.
fn assignors(set: &StaticConfig) -> Vec<String> {
    let name = "group.consumer.assignors";
    let Some(text) = set.get(name) else { return Vec::new() };
    if items(text).next().is_none() {
        return vec![format!("{name} must not be empty")];
    }
    let unknown = items(text).filter(|assignor| ServerAssignor::from_name(assignor).is_none());
    unknown.map(|assignor| format!("{name}: there is no assignor {assignor}, only uniform and range")).collect()
}

/// zstd.
const CODEC_ID_MAX: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(settings: &[(&str, &str)]) -> Vec<String> {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        problems(&StaticConfig::new(settings.collect()))
    }

    /// Each sentence is what Apache Kafka 4.3.0 refuses to start with.
    #[test]
    fn what_kafka_refuses_is_refused() {
        assert_eq!(problems_of(&[]), [] as [&str; 0]);
        for protocol in ["consumer", "share", "streams"] {
            for (setting, low) in
                [("heartbeat.interval.ms", true), ("session.timeout.ms", true), ("assignment.interval.ms", false)]
            {
                let [plain, min, max] = ["", "min.", "max."].map(|side| format!("group.{protocol}.{side}{setting}"));
                let least = format!("{plain} must be greater than or equal to {min}");
                let most = format!("{plain} must be less than or equal to {max}");
                let crossed = format!("{max} must be greater than or equal to {min}");
                let has = |name: &str, value: &str, problem: &String| problems_of(&[(name, value)]).contains(problem);
                assert_eq!(has(&plain, "1", &least), low, "{plain}");
                assert!(has(&plain, "100000", &most), "{plain}");
                assert!(has(&min, "70000", &crossed), "{min}");
                assert!(problems_of(&[(&min, "2000"), (&max, "1000")]).contains(&crossed), "{max}");
            }
            let [heartbeat, session] =
                ["heartbeat.interval.ms", "session.timeout.ms"].map(|setting| format!("group.{protocol}.{setting}"));
            let heartbeat_max = format!("group.{protocol}.max.heartbeat.interval.ms");
            let refused = problems_of(&[(&heartbeat, "45000"), (&heartbeat_max, "45000")]);
            assert_eq!(refused, [format!("{heartbeat} must be less than {session}")]);
            assert_eq!(problems_of(&[(&heartbeat, "44999"), (&heartbeat_max, "45000")]), [] as [&str; 0]);
        }
        let standby =
            "group.streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas";
        assert_eq!(problems_of(&[("group.streams.num.standby.replicas", "3")]), [standby]);
        assert_eq!(problems_of(&[("group.streams.num.standby.replicas", "2")]), [] as [&str; 0]);
    }

    #[test]
    fn assignors_and_codecs_are_those_we_have() {
        assert_eq!(problems_of(&[("group.consumer.assignors", "range, uniform,range")]), [] as [&str; 0]);
        assert_eq!(problems_of(&[("group.consumer.assignors", " ")]), ["group.consumer.assignors must not be empty"]);
        assert_eq!(
            problems_of(&[("group.consumer.assignors", "range,org.example.Mine")]),
            ["group.consumer.assignors: there is no assignor org.example.Mine, only uniform and range"]
        );
        assert_eq!(problems_of(&[("offsets.topic.compression.codec", "4")]), [] as [&str; 0]);
        assert_eq!(
            problems_of(&[("offsets.topic.compression.codec", "9")]),
            ["offsets.topic.compression.codec: unknown compression type id 9"]
        );
    }

    /// Kafka does not compare these, nor does it mind negative ones.
    #[test]
    fn what_kafka_takes_is_taken() {
        assert_eq!(
            problems_of(&[("group.min.session.timeout.ms", "50"), ("group.max.session.timeout.ms", "10")]),
            [] as [&str; 0]
        );
        assert_eq!(problems_of(&[("group.initial.rebalance.delay.ms", "-5")]), [] as [&str; 0]);
        assert_eq!(problems_of(&[("offset.metadata.max.bytes", "-1")]), [] as [&str; 0]);
        assert_eq!(problems_of(&[("group.streams.num.warmup.replicas", "21")]), [] as [&str; 0]);
    }
}
