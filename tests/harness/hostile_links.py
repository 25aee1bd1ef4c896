"""Links to where nobody may be sent, however they are written, and the addresses that names may turn out to have."""

from ipaddress import IPv4Address, IPv6Address

INNER_V4 = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.1.2.3", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255",
)  # fmt: skip
INNER_V6 = (
    "::", "::1", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b::8.8.8.8", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "ff01::1", "ff02::1",
    "ff0e::1", "4000::1", "8000::1",
)  # fmt: skip
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
)
_MALFORMED = (
    "", " ", "http://", "https://", "http:///", "http:///etc/passwd", "http:127.0.0.1", "http:/127.0.0.1",
    "//127.0.0.1",
    "127.0.0.1", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:70/_x",
    "dict://127.0.0.1:11211/", "data:text/plain,x", "javascript:alert(1)", "jar:http://127.0.0.1!/", "ws://127.0.0.1/",
    "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun/x", "HTTP+X://127.0.0.1",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/", "http:\\\\127.0.0.1\\", "http://example.com@127.0.0.1/", "http://@127.0.0.1/",
    "http://:@example.com/", "http://a:b@example.com/", "http://example.com:80@127.0.0.1/", "http://127.0.0.1 /",
    " http://example.com/", "http://example.com/ ", "http://exa mple.com/", "http://example.com\n.internal/",
    "http://example.com\r\nHost: x/", "http://example.com/\r\nX: y", "http://example.com/\t", "http://example.com/\x00",
    "http://127.0.0.1\u00a0/", "http://\u200b127.0.0.1/", "http://127\u00ad.0.0.1/", "http://127.0.0.1\ufeff/",
    "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.example.com/", "http://127%2e0%2e0%2e1/", "http://example%2ecom/",
    "http://.example.com/", "http://example..com/", "http://-example.com/", "http://example-.com/",
    "http://exa_mple-.com-/",
    "http://exa$mple.com/", "http://exa{}mple.com/", "http://(127.0.0.1)/", "http://[127.0.0.1]/",
    "http://[example.com]/",
    "http://[v1.127.0.0.1]/", "http://[::1/", "http://::1/", "http://[::1]x/", "http://[::1%25lo]/", "http://[::1%lo]/",
    "http://[fe80::1%25eth0]/", "http://[2606:4700::1111%25eth0]/", "http://[:::]/", "http://[]/", "http://[::1]]/",
    "http://xn--/", "http://" + "a" * 64 + ".com/", "http://" + "a." * 130 + "com/",
    "http://example.com/" + "a" * 3_000,
    "http://1.2.3/", "http://1.2.3.4.5/", "http://1.2.3.4./", "http://256.1.1.1/", "http://1.1.1.256/",
    "http://1.1.1.-1/",
    "http://0/", "http://00/", "http://0x/", "http://0x0/", "http://1/", "http://4294967296/", "http://99999999999999/",
    "http://example.0x7f/", "http://example.1/", "http://example.com.0/", "http://\ud800/", "http://²/",
    "http://١٢٧.0.0.1/",
)  # fmt: skip
_PORTS = (0, 1, 21, 22, 23, 25, 53, 110, 111, 135, 139, 143, 389, 445, 465, 587, 631, 993, 995, 1433, 2375,
    2379, 3306, 3389,
          4194, 5000, 5432, 5601, 5672, 5984, 6379, 6443, 7001, 8000, 8009, 8080, 8081, 8443, 8500, 9000,
    9090, 9200, 9300,
          10250, 11211, 15672, 27017, 50070, 65535)  # fmt: skip
_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
_CIRCLED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")


_DISGUISED = ("127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "0.0.0.0", "172.17.0.1", "100.100.100.200")


def _disguised(address: str) -> list[str]:
    """Ways to write an IPv4 address that some reader takes for it."""
    number, octets = int(IPv4Address(address)), [int(part) for part in address.split(".")]
    a, b, c, d = octets
    return [
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(octet) for octet in octets),
        ".".join(f"0{octet:o}" for octet in octets),
        ".".join(f"{octet:03d}" for octet in octets[:-1]) + f".{d:04d}",
        f"{a}.{b * 65536 + c * 256 + d}",
        f"{a}.{b}.{c * 256 + d}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
        f"{a + 256}.{b}.{c}.{d}",
        address + ".",
        address.translate(_FULL_WIDTH),
        address.translate(_CIRCLED),
        address.replace(".", "。"),
    ]


def hostile_links() -> list[str]:
    """Each is refused by itself, before anybody is asked for an address or connected to."""
    addresses = [f"http://{address}/" for address in INNER_V4] + [f"https://[{address}]/" for address in INNER_V6]
    spelled = [f"http://[{IPv6Address(address).exploded.upper()}]:80/x" for address in INNER_V6]
    disguised = [f"http://{host}/" for address in _DISGUISED for host in _disguised(address)]
    ports = [f"http://example.com:{port}/" for port in (*_PORTS, 99_999, -1, "8o", "80:80", "0x50", "８0000")]
    return list(dict.fromkeys([*addresses, *spelled, *disguised, *ports, *_MALFORMED]))
