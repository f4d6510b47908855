//! Decoding and re-encoding of a body whose key is a value, for tests and fuzzing.

use crate::schema::Schema;

use super::elided;

pub(super) fn file(schema: &Schema) -> String {
    let mut text = "//! Decodes and encodes again a structure that is chosen at run time.\n\n\
        use crate::api_key::ApiKey;\nuse crate::fuzzing::{Recoded, recode};\n\n"
        .to_owned();
    let mut modules: Vec<String> = vec!["messages".to_owned()];
    modules.extend(schema.groups.iter().map(|g| g.name.clone()));
    text.push_str(&format!("use crate::generated::{{{}}};\n\n", modules.join(", ")));

    for what in ["request", "response"] {
        text.push_str(&format!(
            "/// Recodes the body of a {what}; `None` when the key has no layout.\n\
             pub(crate) fn {what}(key: ApiKey, version: i16, body: &[u8]) -> Option<Recoded> {{\nSome(match key {{\n"
        ));
        let mut removed = Vec::new();
        for api in &schema.apis {
            match &api.messages {
                Some((request, response)) => {
                    let message = if what == "request" { request } else { response };
                    let of = elided(message);
                    text.push_str(&format!("ApiKey::{} => recode::<messages::{of}>(version, body),\n", api.name));
                }
                None => removed.push(format!("ApiKey::{}", api.name)),
            }
        }
        text.push_str(&format!("{} => return None,\n}})\n}}\n\n", removed.join(" | ")));
    }
    text.push_str(
        "/// Recodes the record or embedded structure called `name`; `None` when there is none.\n\
         pub(crate) fn record(name: &str, version: i16, body: &[u8]) -> Option<Recoded> {\nSome(match name {\n",
    );
    for group in &schema.groups {
        for message in &group.messages {
            text.push_str(&format!(
                "{:?} => recode::<{}::{}>(version, body),\n",
                message.name,
                group.name,
                elided(message)
            ));
        }
    }
    text.push_str("_ => return None,\n})\n}\n");
    text
}
