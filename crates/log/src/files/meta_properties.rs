//! `meta.properties`: to which cluster, node and directory id a log directory belongs.

use std::path::Path;

use highwater_types::{DirectoryId, NodeId, Uuid};

use super::{read_small_file, replace_file};
use crate::disk::Disk;
use crate::error::LogError;

const NAME: &str = "meta.properties";

/// Identity of a log directory, from `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id; `None` only in files of the ZooKeeper era.
    pub cluster_id: Option<String>,
    /// The node that owns the directory.
    pub node_id: NodeId,
    /// The directory's own id (KIP-858); `None` in files written before Kafka 3.7.
    pub directory_id: Option<DirectoryId>,
}

impl MetaProperties {
    /// Reads the file of a log directory; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(NAME);
        let Some(bytes) = read_small_file(disk, &path)? else { return Ok(None) };
        Self::parse(&bytes).map(Some).map_err(|reason| LogError::Malformed { path, reason: reason.to_owned() })
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        replace_file(disk, &dir.join(NAME), self.format().as_bytes())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        // Java's property files are Latin-1 with escapes; every value here is ASCII.
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let properties = parse_properties(&text);
        let find = |key: &str| properties.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        let id_key = match find("version").unwrap_or("0") {
            "0" => "broker.id",
            "1" => "node.id",
            _ => return Err("an unknown version"),
        };
        let node_id = find(id_key).ok_or("no node id")?.parse().map_err(|_| "a node id that is not a number")?;
        let node_id = NodeId::from_wire(node_id).ok_or("a negative node id")?;
        let cluster_id = find("cluster.id").map(str::to_owned);
        if id_key == "node.id" && cluster_id.is_none() {
            return Err("no cluster id");
        }
        let directory_id = find("directory.id")
            .map(|text| text.parse::<Uuid>().map(DirectoryId).map_err(|_| "a directory id that is not a UUID"))
            .transpose()?;
        Ok(Self { cluster_id, node_id, directory_id })
    }

    /// Version 1, in the order that Kafka happens to write.
    pub(crate) fn format(&self) -> String {
        let mut text = String::from("#\n");
        text.push_str(&format!("node.id={}\n", self.node_id));
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        text.push_str("version=1\n");
        if let Some(id) = &self.cluster_id {
            text.push_str(&format!("cluster.id={}\n", escape(id)));
        }
        text
    }
}

/// Reads Java's property format: comments, `=` `:` or blank as separator, backslash escapes, continued lines.
fn parse_properties(text: &str) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start_matches(BLANK).to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1 {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANK));
        }
        properties.push(split_property(&logical));
    }
    properties
}

const BLANK: [char; 3] = [' ', '\t', '\x0c'];

fn split_property(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || BLANK.contains(&c));
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANK);
    (unescape(key), unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                out.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '=' | ':' | '#' | '!' | ' ' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn java_syntax_is_understood() {
        let text = "! note\n  node.id : 7\nversion   1\ncluster.id=a\\\n   b\\=c\\u0041\n";
        let parsed = MetaProperties::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.node_id, NodeId::new(7));
        assert_eq!(parsed.cluster_id.as_deref(), Some("ab=cA"));
        assert_eq!(parsed.directory_id, None);
    }

    #[test]
    fn files_without_version_are_of_the_zookeeper_era() {
        let parsed = MetaProperties::parse(b"broker.id=3\n").unwrap();
        assert_eq!(parsed, MetaProperties { cluster_id: None, node_id: NodeId::new(3), directory_id: None });
        assert!(MetaProperties::parse(b"node.id=3\n").is_err());
    }

    #[test]
    fn wrong_files_are_refused() {
        for text in [
            "version=2\nnode.id=1\ncluster.id=x",
            "version=1\nnode.id=1",
            "version=1\ncluster.id=x",
            "version=1\nnode.id=-1\ncluster.id=x",
            "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=short",
        ] {
            assert!(MetaProperties::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = MetaProperties::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(cluster in "[ -~]{1,30}", node in 0..=i32::MAX as u32, id: [u8; 16]) {
            let meta = MetaProperties {
                cluster_id: Some(cluster),
                node_id: NodeId::new(node),
                directory_id: Some(DirectoryId(Uuid::from_bytes(id))),
            };
            prop_assert_eq!(MetaProperties::parse(meta.format().as_bytes()), Ok(meta));
        }
    }
}
