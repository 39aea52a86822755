"""An address says where a server is, in the words of each driver."""

from psycopg.conninfo import conninfo_to_dict

from process.addresses import DatabaseAddress, RedisAddress


def test_libpq_reads_back_what_was_said() -> None:
    """Spaces, quotes and backslashes are part of a password, and of nothing else."""
    address = DatabaseAddress(
        host="db.example", port=5433, user="o'hara", password=r"a b\c' host=x", database="pay"
    )
    read = conninfo_to_dict(address.conninfo("payments relay"))
    said = {
        "host": "db.example",
        "port": "5433",
        "user": "o'hara",
        "password": r"a b\c' host=x",
        "dbname": "pay",
        "application_name": "payments relay",
    }
    assert {name: read[name] for name in said} == said


def test_a_url_holds_an_ipv6_address_in_brackets() -> None:
    """Its colons would be read as the port's."""
    assert RedisAddress("::1", 6380).url == "redis://[::1]:6380"
    assert RedisAddress("cache", 6379).url == "redis://cache:6379"
