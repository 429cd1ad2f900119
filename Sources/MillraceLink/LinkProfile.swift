internal import MillraceBase

/// Which way datagrams go, seen from the poorer end: towards it or away from it.
public enum LinkDirection: Sendable {
    case down
    case up
}

/// A named kind of access line, both directions. The figures are round and typical of their kind, set by hand; a line that
/// matters should be measured and written out.
public struct LinkProfile: Sendable {
    public let name: String
    /// What it stands for, in a few words.
    public let summary: String
    let down: String
    let up: String

    public func parameters(_ direction: LinkDirection) -> LinkParameters {
        // The texts below are read by a test; one that could not be read would impair nothing.
        (try? LinkParameters(text: direction == .down ? down : up)) ?? LinkParameters()
    }

    public static func named(_ name: String) -> LinkProfile? { all.first { $0.name == name } }

    public static let all = [
        LinkProfile(name: "none", summary: "an unimpaired link", down: "delay=0", up: "delay=0"),
        LinkProfile(
            name: "fiber-300", summary: "fibre to the home, 300 Mbit/s each way, same continent",
            down: "rate=300,rtt=20,jitter=0.5,loss=0.001%,queue=50ms,mtu=1500",
            up: "rate=300,rtt=20,jitter=0.5,loss=0.001%,queue=50ms,mtu=1500"),
        LinkProfile(
            name: "cable-100", summary: "cable modem, 100 Mbit/s down, 20 up",
            down: "rate=100,rtt=30,jitter=3,loss=0.05%,burst=2,queue=80ms,mtu=1500",
            up: "rate=20,rtt=30,jitter=5,loss=0.05%,burst=2,queue=150ms,mtu=1500"),
        LinkProfile(
            name: "dsl-25", summary: "VDSL, 25 Mbit/s down, 5 up",
            down: "rate=25,rtt=50,jitter=2,loss=0.1%,burst=2,queue=150ms,mtu=1492",
            up: "rate=5,rtt=50,jitter=2,loss=0.1%,burst=2,queue=250ms,mtu=1492"),
        LinkProfile(
            name: "lte", summary: "a mobile cell, 10 to 50 Mbit/s down with half-second holes, deep queue",
            down:
                "trace=35:42:50:28:18:10:22:31:26:0:24:38@500,rtt=60,jitter=10,loss=0.2%,burst=4,queue=400ms,mtu=1428",
            up:
                "trace=10:12:9:6:3:5:8:11:10:1:6:9@500,rtt=60,jitter=12,loss=0.2%,burst=4,queue=400ms,mtu=1428"
        ),
        LinkProfile(
            name: "starlink", summary: "low-orbit satellite, 100 Mbit/s down, 12 up, losses in bursts",
            down: "rate=100,rtt=50,jitter=8,loss=0.8%,burst=6,queue=80ms,mtu=1500",
            up: "rate=12,rtt=50,jitter=10,loss=0.8%,burst=6,queue=120ms,mtu=1500"),
        LinkProfile(
            name: "wifi-congested", summary: "a crowded wireless network, 20 Mbit/s, 3 % lost in bursts",
            down: "rate=20,rtt=40,jitter=10,loss=3%,burst=4,queue=120ms,reorder=0.2%,reorderby=8,mtu=1500",
            up: "rate=20,rtt=40,jitter=10,loss=3%,burst=4,queue=120ms,reorder=0.2%,reorderby=8,mtu=1500"),
    ]
}
