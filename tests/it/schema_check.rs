//! As much of JSON Schema as the policy's schema uses, to compare it with the decoder.

use serde_json::Value;

/// Whether the schema accepts the value. A keyword that is not known here fails the test.
pub(crate) fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, argument)| match keyword.as_str() {
        "$schema" | "title" | "description" | "examples" | "definitions" | "additionalProperties" => true,
        "properties" => properties(root, schema, value),
        "$ref" => accepts(root, root.pointer(argument.as_str().unwrap().trim_start_matches('#')).unwrap(), value),
        "const" => value == argument,
        "enum" => all(argument).any(|one| value == one),
        "type" => is_type(argument.as_str().unwrap(), value),
        "allOf" => all(argument).all(|schema| accepts(root, schema, value)),
        "anyOf" => all(argument).any(|schema| accepts(root, schema, value)),
        "oneOf" => all(argument).filter(|schema| accepts(root, schema, value)).count() == 1,
        "required" => {
            value.as_object().is_none_or(|map| all(argument).all(|key| map.contains_key(key.as_str().unwrap())))
        }
        "minProperties" => value.as_object().is_none_or(|map| map.len() >= number(argument)),
        "maxProperties" => value.as_object().is_none_or(|map| map.len() <= number(argument)),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|item| accepts(root, argument, item))),
        "minItems" => value.as_array().is_none_or(|list| list.len() >= number(argument)),
        "minimum" => value.as_f64().is_none_or(|value| value >= argument.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|value| value <= argument.as_f64().unwrap()),
        "pattern" => {
            value.as_str().is_none_or(|text| regex::Regex::new(argument.as_str().unwrap()).unwrap().is_match(text))
        }
        other => panic!("the schema uses {other:?}"),
    }) && (schema.get("properties").is_some() || properties(root, schema, value))
}

fn properties(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(map) = value.as_object() else { return true };
    let known = schema.get("properties").and_then(Value::as_object);
    let rest = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
    map.iter().all(|(key, value)| match (known.and_then(|known| known.get(key)), rest) {
        (None, Value::Bool(allowed)) => *allowed,
        (Some(schema), _) | (None, schema) => accepts(root, schema, value),
    })
}

fn all(argument: &Value) -> std::slice::Iter<'_, Value> {
    argument.as_array().unwrap().iter()
}

fn number(argument: &Value) -> usize {
    usize::try_from(argument.as_u64().unwrap()).unwrap()
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema uses the type {other:?}"),
    }
}
