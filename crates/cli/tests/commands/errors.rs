//! `highwater errors`.

use crate::process::highwater;

#[test]
fn a_code_is_explained_by_number_and_by_name() {
    let expected = "\
TOPIC_ALREADY_EXISTS (36)
  meaning:    A topic of this name exists.
  retriable:  no
  who acts:   whoever runs the application
  what to do: Use it, or take another name.
";
    for given in ["36", "TOPIC_ALREADY_EXISTS", "TopicAlreadyExistsException"] {
        let output = highwater(&["errors", given]);
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(0), expected.into()));
    }
}

#[test]
fn all_codes_are_listed_in_the_form_asked_for() {
    let output = highwater(&["errors", "-o", "name"]);
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(names.starts_with("UNKNOWN_SERVER_ERROR\nNONE\nOFFSET_OUT_OF_RANGE\n"), "{names}");
    assert!(130 < names.lines().count());

    let output = highwater(&["errors", "6", "-o", "jsonl"]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["name"], "NOT_LEADER_OR_FOLLOWER");
    assert_eq!((&line["code"], &line["retriable"], &line["actor"]), (&6.into(), &true.into(), &"nobody".into()));
}

#[test]
fn a_code_that_does_not_exist_is_told() {
    let output = highwater(&["errors", "9999"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: no error code 9999\n  why: no release of Kafka up to 4.3 uses it\n  try: `highwater errors` without \
         arguments lists them all\n"
    );
}
