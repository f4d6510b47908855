//! One test per rule of KIP-227.

use super::*;

type Sessions = FetchSessions<&'static str, u64>;

fn sessions(slots_max: usize) -> Sessions {
    let mut next = 100;
    FetchSessions::new(slots_max, move || {
        next += 1;
        next
    })
}

fn request(session_id: i32, epoch: i32) -> SessionRequest {
    SessionRequest { session_id, epoch, uses_topic_ids: true, from_follower: false }
}

fn at(high_watermark: i64) -> Report {
    Report { high_watermark, ..Report::default() }
}

fn records(high_watermark: i64) -> Report {
    Report { has_records: true, ..at(high_watermark) }
}

/// Makes a session of partitions a, b and c whose high watermarks are 10, and gives its id.
fn open(sessions: &Sessions) -> i32 {
    let fetch = sessions.begin(request(0, 0), vec![("a", 1), ("b", 2), ("c", 3)], [], 0).unwrap();
    let answer = fetch.answer(sessions, &[at(10); 3], 0);
    assert!((0..3).all(|index| answer.includes(index)), "the first answer is whole");
    answer.session_id
}

/// Fetches with no changes and gives the partitions in the answer.
fn poll(sessions: &Sessions, id: i32, epoch: i32, report: impl Fn(&str) -> Report) -> Vec<&'static str> {
    let fetch = sessions.begin(request(id, epoch), vec![], [], 0).unwrap();
    told(sessions, fetch, report)
}

fn told(
    sessions: &Sessions,
    fetch: SessionFetch<&'static str, u64>,
    report: impl Fn(&str) -> Report,
) -> Vec<&'static str> {
    let keys: Vec<_> = fetch.wanted().iter().map(|(key, _)| *key).collect();
    let reports: Vec<_> = keys.iter().map(|key| report(key)).collect();
    let answer = fetch.answer(sessions, &reports, 0);
    keys.into_iter().enumerate().filter(|(index, _)| answer.includes(*index)).map(|(_, key)| key).collect()
}

#[test]
fn a_first_fetch_makes_a_session_with_a_random_id() {
    let sessions = sessions(2);
    assert_eq!([open(&sessions), open(&sessions)], [101, 102]);
    assert_eq!(sessions.len(), 2);
}

#[test]
fn without_room_the_answer_is_whole_and_has_no_session() {
    let sessions = sessions(0);
    assert_eq!(open(&sessions), 0);
    assert!(sessions.is_empty());
}

#[test]
fn a_first_fetch_of_nothing_makes_no_session() {
    let sessions = sessions(2);
    let fetch = sessions.begin(request(0, 0), vec![], [], 0).unwrap();
    assert_eq!(fetch.answer(&sessions, &[], 0).session_id, 0);
    assert!(sessions.is_empty());
}

#[test]
fn epoch_minus_one_wants_no_session_and_ends_the_one_named() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let fetch = sessions.begin(request(id, -1), vec![("z", 0)], [], 0).unwrap();
    assert_eq!(fetch.wanted(), [("z", 0)]);
    let answer = fetch.answer(&sessions, &[at(0)], 0);
    assert_eq!((answer.session_id, answer.includes(0)), (0, true));
    assert!(sessions.is_empty());
}

#[test]
fn epoch_zero_replaces_the_session_named() {
    let sessions = sessions(2);
    let old = open(&sessions);
    let fetch = sessions.begin(request(old, 0), vec![("z", 0)], [], 0).unwrap();
    let new = fetch.answer(&sessions, &[at(0)], 0).session_id;
    assert_ne!(new, old);
    assert_eq!(sessions.begin(request(old, 1), vec![], [], 0).unwrap_err(), SessionError::IdNotFound);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn requests_must_carry_the_next_epoch() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let error = |epoch| sessions.begin(request(id, epoch), vec![], [], 0).unwrap_err();
    assert_eq!(error(2), SessionError::InvalidEpoch);
    poll(&sessions, id, 1, |_| at(10));
    assert_eq!(error(1), SessionError::InvalidEpoch, "a repeated request");
    assert_eq!(error(-2), SessionError::InvalidEpoch);
    poll(&sessions, id, 2, |_| at(10));
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn unknown_ids_and_mixed_names_are_refused() {
    let sessions = sessions(2);
    let id = open(&sessions);
    assert_eq!(sessions.begin(request(id + 1, 1), vec![], [], 0).unwrap_err(), SessionError::IdNotFound);
    let by_name = SessionRequest { uses_topic_ids: false, ..request(id, 1) };
    assert_eq!(sessions.begin(by_name, vec![], [], 0).unwrap_err(), SessionError::TopicIdMismatch);
    poll(&sessions, id, 1, |_| at(10));
}

#[test]
fn errors_have_their_codes() {
    let codes = [SessionError::IdNotFound, SessionError::InvalidEpoch, SessionError::TopicIdMismatch]
        .map(|error| error.error_code().code());
    assert_eq!(codes, [70, 71, 106]);
}

#[test]
fn only_what_changed_is_told() {
    let sessions = sessions(2);
    let id = open(&sessions);
    assert!(poll(&sessions, id, 1, |_| at(10)).is_empty());
    let high_watermark = |key: &str| if key == "b" { at(11) } else { at(10) };
    assert_eq!(poll(&sessions, id, 2, high_watermark), ["b"]);
    assert!(poll(&sessions, id, 3, high_watermark).is_empty(), "told once");
    let log_start = |key: &str| Report { log_start: i64::from(key == "c"), ..high_watermark(key) };
    assert_eq!(poll(&sessions, id, 4, log_start), ["c"]);
    let news = |key: &str| Report { has_news: key == "a", ..log_start(key) };
    assert_eq!(poll(&sessions, id, 5, news), ["a"]);
    assert_eq!(poll(&sessions, id, 6, news), ["a"], "news are told each time");
}

#[test]
fn after_an_error_the_partition_is_told_again() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let failing = |key: &str| Report { has_error: key == "b", ..at(10) };
    assert_eq!(poll(&sessions, id, 1, failing), ["b"]);
    assert_eq!(poll(&sessions, id, 2, failing), ["b"], "an error is told each time");
    assert_eq!(poll(&sessions, id, 3, |_| at(10)), ["b"], "the same high watermark as before the error");
    assert!(poll(&sessions, id, 4, |_| at(10)).is_empty());
}

#[test]
fn partitions_are_added_changed_and_forgotten() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let fetch = sessions.begin(request(id, 1), vec![("d", 4), ("a", 9)], ["b", "unknown"], 0).unwrap();
    assert_eq!(fetch.wanted(), [("a", 9), ("c", 3), ("d", 4)]);
    assert_eq!(told(&sessions, fetch, |_| at(10)), ["d"], "what was added is new, what was changed is not");
    let fetch = sessions.begin(request(id, 2), vec![("b", 5)], [], 0).unwrap();
    assert_eq!(fetch.wanted(), [("a", 9), ("c", 3), ("d", 4), ("b", 5)]);
    assert_eq!(told(&sessions, fetch, |_| at(10)), ["b"], "what comes back was forgotten before");
}

#[test]
fn a_session_without_partitions_ends() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let fetch = sessions.begin(request(id, 1), vec![], ["a", "b", "c"], 0).unwrap();
    assert!(fetch.wanted().is_empty());
    assert_eq!(fetch.answer(&sessions, &[], 0).session_id, 0);
    assert!(sessions.is_empty());
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let order = |epoch, with_records: &'static str| {
        let fetch = sessions.begin(request(id, epoch), vec![], [], 0).unwrap();
        let keys: Vec<_> = fetch.wanted().iter().map(|(key, _)| *key).collect();
        told(&sessions, fetch, |key| if with_records.contains(key) { records(10) } else { at(10) });
        keys.concat()
    };
    assert_eq!(order(1, "a"), "abc");
    assert_eq!(order(2, "bc"), "bca");
    assert_eq!(order(3, "abc"), "abc");
    assert_eq!(order(4, ""), "abc");
}

#[test]
fn a_partition_forgotten_while_a_fetch_waits_is_not_confused_with_its_successor() {
    let sessions = sessions(2);
    let id = open(&sessions);
    let waiting = sessions.begin(request(id, 1), vec![], [], 0).unwrap();
    // A client that does not wait for its answer; "d" takes the place of "a".
    let changed = sessions.begin(request(id, 2), vec![], ["a"], 0).unwrap();
    drop(changed);
    let changed = sessions.begin(request(id, 3), vec![("d", 4)], [], 0).unwrap();
    assert_eq!(told(&sessions, waiting, |_| at(10)), ["a"]);
    assert_eq!(told(&sessions, changed, |_| at(10)), ["d"], "still new");
}

#[test]
fn a_follower_pushes_a_consumer_out() {
    let sessions = sessions(1);
    let consumer = open(&sessions);
    assert_eq!(open(&sessions), 0, "another consumer does not");
    let follower = SessionRequest { from_follower: true, ..request(0, 0) };
    let fetch = sessions.begin(follower, vec![("a", 0)], [], 0).unwrap();
    let id = fetch.answer(&sessions, &[at(10)], 0).session_id;
    assert!(id > 0 && id != consumer);
    assert_eq!(sessions.begin(request(consumer, 1), vec![], [], 0).unwrap_err(), SessionError::IdNotFound);
}
