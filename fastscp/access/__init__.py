"""Host access rules of hosts_access(5), parsed and matched."""
