//! Who may use which model of which provider.
