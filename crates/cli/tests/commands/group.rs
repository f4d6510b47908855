//! `highwater group`.

use std::fs;

use crate::member::Member;
use crate::process::Running;

/// A broker with ten records in `t`, five in each partition, and a group `g` at offset 2 of both.
fn with_group() -> (Running, tempfile::TempDir) {
    let (broker, folder) = Running::alone();
    assert_eq!(broker.ask(&["topic", "create", "t", "-p", "2"]).0, Some(0));
    for partition in ["0", "1"] {
        assert_eq!(broker.tell(&["produce", "t", "-p", partition], "1\n2\n3\n4\n5\n").0, Some(0));
    }
    let reset = broker.ask(&["group", "reset", "g", "--topic", "t", "--to-offset", "2", "--yes", "-o", "name"]);
    assert_eq!(reset, (Some(0), "t-0\nt-1\n".into(), String::new()));
    (broker, folder)
}

#[test]
fn groups_are_listed_and_described_with_their_lag() {
    let (broker, _folder) = with_group();
    assert_eq!(broker.ask(&["group", "ls"]).1, "NAME  STATE  TYPE\ng     Empty  classic\n");
    assert_eq!(broker.ask(&["group", "ls", "x.*", "--no-headers"]).1, "");
    assert_eq!(
        broker.ask(&["group", "lag", "g"]).1,
        "\
GROUP  TOPIC  PARTITION  COMMITTED  END  LAG  CLIENT
g      t              0          2    5    3  -
g      t              1          2    5    3  -
"
    );
    let described = broker.ask(&["group", "describe", "g", "--no-headers"]).1;
    assert_eq!(described, "g  Empty  classic  0  -  1  t  6\n");
    assert_eq!(broker.ask(&["group", "lag", "g", "--max", "3"]).0, Some(0));
    let (code, _, err) = broker.ask(&["group", "lag", "g", "--max", "2"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("why: g is 3 behind in t-0, more than 2"), "{err}");
    let (code, _, err) = broker.ask(&["group", "describe", "nope"]);
    assert_eq!(code, Some(3), "{err}");
    assert_eq!(broker.ask(&["group", "members", "g", "--no-headers"]).1, "");
}

#[test]
fn a_reset_is_shown_first_and_has_every_way_of_saying_where() {
    let (broker, folder) = with_group();
    let (code, out, err) = broker.ask(&["group", "reset", "g", "--to-earliest"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        out,
        "\
TOPIC  PARTITION  CURRENT  NEW  DELTA  LAG-AFTER
t              0        2    0     -2          5
t              1        2    0     -2          5
"
    );
    assert!(err.contains("--yes"), "{err}");
    let committed = || {
        let lines = broker.ask(&["group", "lag", "g", "-o", "csv", "--no-headers"]).1;
        let third = |line: &str| line.split(',').nth(3).unwrap().to_owned();
        lines.lines().map(third).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(committed(), "2 2");
    let csv = folder.path().join("plan.csv");
    let csv = csv.to_str().unwrap();
    for (how, expected) in [
        (&["--topic", "t:1", "--to-latest"][..], "2 5"),
        (&["--shift-by", "-1"], "1 4"),
        (&["--to-current", "--export", csv], "1 4"),
        (&["--to-datetime", "2020-01-01T00:00:00.000"], "0 0"),
        (&["--by-duration", "PT1H"], "0 0"),
        (&["--to-offset", "99"], "5 5"),
        (&["--from-file", csv], "1 4"),
    ] {
        let (code, _, err) = broker.ask(&[&["group", "reset", "g", "--yes"], how].concat());
        assert_eq!((code, committed().as_str()), (Some(0), expected), "{how:?}: {err}");
    }
    assert_eq!(fs::read_to_string(csv).unwrap(), "t,0,1\nt,1,4\n");
    assert_eq!(broker.ask(&["group", "reset", "h", "--topic", "t", "--to-group", "g", "--yes"]).0, Some(0));
    let other = broker.ask(&["group", "lag", "h", "-o", "csv", "--no-headers"]).1;
    assert_eq!(other, "h,t,0,1,5,4,,,\nh,t,1,4,5,1,,,\n");

    assert_eq!(broker.ask(&["group", "reset", "new", "--to-earliest", "--yes"]).0, Some(3));
    assert_eq!(broker.ask(&["group", "reset", "g", "--yes"]).0, Some(2));
    assert_eq!(broker.ask(&["group", "reset", "g", "--topic", "t:7", "--to-earliest", "--yes"]).0, Some(3));
}

#[test]
fn groups_with_members_are_left_alone_and_the_members_named() {
    let (broker, _folder) = with_group();
    let member = Member::join(broker.address, "live", "t");
    let (code, out, err) = broker.ask(&["group", "members", "live", "--no-headers"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("the-client") && out.contains("t[0,1]"), "{out}");
    assert!(broker.ask(&["group", "lag", "live", "--no-headers"]).1.contains("live  t  0  -  5  -  the-client"));
    for arguments in
        [&["group", "delete", "live", "--yes"][..], &["group", "reset", "live", "--topic", "t", "--to-latest", "--yes"]]
    {
        let (code, _, err) = broker.ask(arguments);
        assert_eq!(code, Some(7), "{arguments:?}: {err}");
        assert!(err.contains("it has members: the-client on 127.0.0.1"), "{arguments:?}: {err}");
    }
    drop(member);

    let (code, out, _) = broker.ask(&["group", "delete", "g", "--dry-run"]);
    assert_eq!((code, out.as_str()), (Some(0), "GROUP  STATE  OFFSETS  ACTION\ng      Empty        2  delete\n"));
    assert_eq!(broker.ask(&["group", "delete", "g", "--yes", "--no-headers"]).1, "g  deleted  -\n");
    assert_eq!(broker.ask(&["group", "delete", "g", "--yes"]).0, Some(3));
}
