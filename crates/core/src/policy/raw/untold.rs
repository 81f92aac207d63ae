//! Keys for what people want to ask of a message, and no broker tells when it asks.

const QOS: &str =
    "no EMQX tells the QoS when it asks: it comes with `client.subscribe` and `message.publish`, which ask nothing";
const RETAIN: &str = "no EMQX tells the retain flag, neither when it asks nor with another hook";
const PROPERTIES: &str =
    "no EMQX tells properties when it asks: they come with `client.connect` and `client.subscribe`, which ask nothing";
const HEADERS: &str = "no EMQX tells headers when it asks: they come with `message.publish`, which asks nothing";
const PAYLOAD: &str = "no EMQX tells the payload when it asks: it comes with `message.publish`, which asks nothing";

/// Why there is no such key, where it is for one of these. How it is spelled does not matter.
pub(crate) fn why(key: &str) -> Option<&'static str> {
    let letters = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    match letters.as_str() {
        "qos" | "maxqos" => Some(QOS),
        "retain" | "retained" | "retainflag" => Some(RETAIN),
        "userproperties" | "userproperty" | "userprops" | "userprop" | "properties" | "props" => Some(PROPERTIES),
        "headers" | "header" => Some(HEADERS),
        "payload" | "payloads" => Some(PAYLOAD),
        _ => None,
    }
}
