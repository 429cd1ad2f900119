import MillraceBase
import Testing

struct PeerAddressTests {
    @Test(arguments: [
        ("127.0.0.1:9000", "127.0.0.1:9000"), ("0.0.0.0:0", "0.0.0.0:0"),
        ("255.255.255.255:65535", "255.255.255.255:65535"),
        ("[::1]:9000", "[::1]:9000"), ("[::]:1", "[::]:1"),
        ("[2001:DB8:0:0:1:0:0:1]:443", "[2001:db8::1:0:0:1]:443"),
        ("[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7:8]:1"), ("[::ffff:10.0.0.1]:7", "10.0.0.1:7"),
        ("[1:0:2::]:7", "[1:0:2::]:7"),
        ("[64:ff9b::1.2.3.4]:80", "[64:ff9b::102:304]:80"),
    ])
    func `text is read and printed in its short form`(text: String, printed: String) throws {
        let address = try #require(PeerAddress(text))
        #expect(address.description == printed)
        #expect(PeerAddress(address.description) == address)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0:1", "256.0.0.1:1",
        "01.2.3.4:1", "a.b.c.d:1",
        "localhost:1", "::1:9000", "[::1]", "[::1]9000", "[:::1]:1", "[1::2::3]:1", "[1:2:3:4:5:6:7]:1",
        "[1:2:3:4:5:6:7:8:9]:1",
        "[1:2:3:4:5:6:7:]:1", "[12345::]:1", "[1:2:3:4:5:6:7:8::]:1", "[::1.2.3.4.5]:1", "[]:1", "[:]:1",
        "[:1]:1",
        "127.0.0.1:00000080", "[::1.2.3.4:1]:1",
    ])
    func `anything else is not an address`(text: String) {
        #expect(PeerAddress(text) == nil)
    }

    @Test func `an IPv4 address is mapped`() {
        let address = PeerAddress.loopback(port: 7)
        #expect(address.high == 0 && address.low == 0xFFFF_7F00_0001)
        #expect(address.ipv4 == 0x7F00_0001)
        #expect(PeerAddress("[::1]:7")?.ipv4 == nil)
    }
}
