//! Login and topic rules for the EMQX broker in one YAML file.

pub mod cli;
pub mod decision;
pub mod event;
pub mod history;
pub mod hook;
pub mod log;
pub mod password;
pub mod policy;
pub mod port;
pub mod reply;
pub mod source;
pub mod text;
pub mod topic;
