//! The eviction policy of a server.

use redis::{Value, aio::ConnectionLike};

use super::connection::Connection;

/// The policy of one server or of one cluster node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Policy {
    /// In bytes. Zero means no limit.
    pub(crate) max_memory: u64,
    /// The name such as `noeviction` or `allkeys-lru`.
    pub(crate) eviction: String,
}

impl Policy {
    /// Reads the policies of all nodes by INFO because managed servers refuse CONFIG. A node that
    /// refuses INFO is left out.
    pub(super) async fn read(mut connection: Connection) -> Vec<Self> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        let mut policies = Vec::new();
        if let Ok(told) = connection.req_packed_command(&command).await {
            Self::collect(&told, &mut policies);
        }
        policies
    }

    fn collect(told: &Value, policies: &mut Vec<Self>) {
        match told {
            Value::BulkString(text) => policies.extend(Self::of(&String::from_utf8_lossy(text))),
            Value::VerbatimString { text, .. } => policies.extend(Self::of(text)),
            Value::Array(values) => {
                values.iter().for_each(|value| Self::collect(value, policies));
            }
            // By node, where there is a cluster.
            Value::Map(nodes) => {
                nodes.iter().for_each(|(_, value)| Self::collect(value, policies));
            }
            _ => {}
        }
    }

    fn of(info: &str) -> Option<Self> {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let eviction = field("maxmemory_policy")?.trim().to_owned();
        let max_memory = field("maxmemory").and_then(|bytes| bytes.trim().parse().ok());
        Some(Self { max_memory: max_memory.unwrap_or_default(), eviction })
    }

    /// Whether the server may evict keys in use.
    pub(crate) fn evicts(&self) -> bool {
        self.max_memory > 0 && self.eviction != "noeviction"
    }

    /// Whether the server rejects writes once it is full.
    #[cfg(any(feature = "cache", test))]
    pub(crate) fn refuses(&self) -> bool {
        self.max_memory > 0 && self.eviction == "noeviction"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_read() {
        let info = |bytes, eviction| {
            format!(
                "# Memory\r\nused_memory:1\r\nmaxmemory:{bytes}\r\nmaxmemory_human:0B\r\nmaxmemory_policy:{eviction}\r\nmem_fragmentation_ratio:1\r\n"
            )
        };
        let cases = [
            (0, "noeviction", false, false),
            (0, "allkeys-lru", false, false),
            (100, "noeviction", false, true),
            (100, "allkeys-lru", true, false),
            (100, "volatile-ttl", true, false),
        ];
        for (bytes, eviction, evicts, refuses) in cases {
            let policy = Policy::of(&info(bytes, eviction)).unwrap();
            assert_eq!((policy.evicts(), policy.refuses()), (evicts, refuses), "{policy:?}");
        }
        assert_eq!(Policy::of("# Memory\r\nused_memory:1\r\n"), None);
    }
}
