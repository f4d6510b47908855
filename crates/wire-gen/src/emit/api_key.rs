//! The enum of API keys and the table of what the schema says about each.

use crate::schema::Schema;

pub(super) fn file(schema: &Schema) -> String {
    let mut variants = String::new();
    let mut all = String::new();
    let mut table = String::new();
    for api in &schema.apis {
        let name = &api.name;
        let doc = match &api.messages {
            Some((request, _)) => format!("Versions {}", request.versions),
            None => "Removed in Kafka 4.0; no layout is known here".to_owned(),
        };
        variants.push_str(&format!("/// {doc}.\n{name} = {},\n", api.key));
        all.push_str(&format!("ApiKey::{name},"));
        let serves = |who: &str| api.listeners.iter().any(|l| l == who);
        let (versions, flexible, unstable) = match &api.messages {
            Some((request, response)) => {
                assert_eq!(request.versions, response.versions, "{name}: a response answers its request's version");
                assert_eq!(request.flexible, response.flexible, "{name}: both halves are flexible or neither");
                let v = request.versions;
                let versions = format!("Some(VersionRange {{ min: {}, max: {} }})", v.min, v.max);
                (versions, format!("{:?}", request.flexible), request.unstable)
            }
            None => ("None".to_owned(), "None".to_owned(), false),
        };
        table.push_str(&format!(
            "ApiInfo {{ name: {name:?}, versions: {versions}, flexible_from: {flexible}, unstable: {unstable}, \
             broker: {}, controller: {} }},\n",
            serves("broker"),
            serves("controller"),
        ));
    }
    let count = schema.apis.len();
    format!(
        "//! The API keys.\n\nuse crate::api_key::ApiInfo;\nuse crate::runtime::VersionRange;\n\n\
         /// Number that tells what a request asks for; every key that Kafka has assigned.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\n\
         pub enum ApiKey {{\n{variants}}}\n\n\
         /// Every key in order; the keys have no gaps, so that a key is an index.\n\
         pub(crate) const ALL: [ApiKey; {count}] = [{all}];\n\n\
         /// What the schema says about each key, in the order of [`ALL`].\n\
         pub(crate) const INFO: [ApiInfo; {count}] = [{table}];\n"
    )
}
