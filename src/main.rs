//! The program `exhook-policy`.

fn main() {}
