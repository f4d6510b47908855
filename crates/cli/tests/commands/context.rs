//! `highwater context`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::process::{at_home, told};

#[test]
fn contexts_are_added_chosen_listed_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| told(at_home(home.path()).args(arguments));
    assert_eq!(run(&["context", "ls", "--no-headers"]), (Some(0), String::new(), String::new()));

    let (code, _, told) = run(&["context", "add", "prod"]);
    assert_eq!((code, told.contains("try: highwater -b HOST:PORT context add prod")), (Some(2), true), "{told}");

    let added = run(&["context", "add", "prod", "-b", "p1:9092,p2", "--set", "security.protocol=SSL"]);
    assert_eq!(added, (Some(0), String::new(), String::new()));
    assert_eq!(run(&["context", "add", "test", "-b", "t1:1"]).0, Some(0));
    let expected = "\
NAME  IN-USE  BROKERS          SECURITY-PROTOCOL
prod  yes     p1:9092,p2:9092  SSL
test  no      t1:1             PLAINTEXT
";
    assert_eq!(run(&["context", "ls"]).1, expected);

    assert_eq!(run(&["context", "use", "test"]).0, Some(0));
    assert_eq!(run(&["context", "use", "nope"]).0, Some(3));
    assert_eq!(run(&["context", "rm", "prod"]).0, Some(0));
    assert_eq!(run(&["context", "ls", "--no-headers"]).1, "test  yes  t1:1  PLAINTEXT\n");

    let file = home.path().join("highwater/contexts.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "{").unwrap();
    assert_eq!(run(&["context", "ls"]).0, Some(1));
}

#[test]
fn settings_of_other_tools_are_imported() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| told(at_home(home.path()).args(arguments));
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let java = write("client.properties", "bootstrap.servers=j:9092\nsecurity.protocol=SASL_SSL\n");
    let kcat = write("kcat.conf", "metadata.broker.list=k:9092\nsecurity.protocol=ssl\n");
    let rpk = write("rpk.yaml", "profiles:\n  - name: red\n    kafka_api:\n      brokers:\n        - r:9092\n");
    assert_eq!(run(&["context", "import", &java]).2, "imported client\n");
    assert_eq!(run(&["context", "import", &kcat, "--name", "cat"]).2, "imported cat\n");
    assert_eq!(run(&["context", "import", &rpk]).2, "imported red\n");
    let expected = "\
cat     no   k:9092  SSL
client  yes  j:9092  SASL_SSL
red     no   r:9092  PLAINTEXT
";
    assert_eq!(run(&["context", "ls", "--no-headers"]).1, expected);

    let nothing = write("nothing.properties", "client.id=x\n");
    assert_eq!(run(&["context", "import", &nothing]).0, Some(1));
    assert_eq!(run(&["context", "import", "/nowhere"]).0, Some(3));
}
