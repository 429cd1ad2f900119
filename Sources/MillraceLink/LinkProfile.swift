internal import MillraceBase

/// Which way datagrams go, seen from the poorer end: towards it or away from it.
public enum LinkDirection: Sendable {
    case down
    case up
}

/// A named kind of line, both directions, as text (Spec 80.2 has the table). The figures are round and typical of their
/// kind; `source` says after what they were set. A line that matters should be measured and written out.
public struct LinkProfile: Sendable {
    public let name: String
    /// One sentence: who has such a line and what is bad about it.
    public let about: String
    /// What the figures follow. They are chosen to be typical, not copied from a table there.
    public let source: String
    /// Settings towards the poorer end, and away from it.
    public let down: String
    public let up: String

    init(_ name: String, _ about: String, down: String, up: String? = nil, source: String) {
        self.name = name
        self.about = about
        self.source = source
        self.down = down
        self.up = up ?? down
    }

    public func text(_ direction: LinkDirection) -> String { direction == .down ? down : up }

    public func parameters(_ direction: LinkDirection) -> LinkParameters {
        // The texts are read by a test; one that could not be read would impair nothing.
        (try? LinkParameters(text: text(direction))) ?? LinkParameters()
    }

    /// Exact names only; a text's reader suggests near ones.
    public static func named(_ name: String) -> LinkProfile? {
        name == none.name ? none : all.first { $0.name == name }
    }

    /// The link that impairs nothing: a name that every text may use, and no kind of line.
    public static let none = LinkProfile(
        "none", "An unimpaired link.", down: "delay=0", source: "by definition")

    /// In the order in which they are listed: fixed lines, mobile, satellite, wireless networks, data centres, other.
    public static let all = [
        LinkProfile(
            "fiber-1000", "Fibre to the home, 1 Gbit/s each way, servers in the same region.",
            down: "rate=1000,rtt=12,jitter=0.3,loss=0.001%,queue=20ms,mtu=1500",
            source: "typical, after FCC Measuring Broadband America (fibre latency and loss)"),
        LinkProfile(
            "fiber-300", "Fibre to the home, 300 Mbit/s each way, same continent.",
            down: "rate=300,rtt=20,jitter=0.5,loss=0.001%,queue=50ms,mtu=1500",
            source: "typical, after FCC Measuring Broadband America (fibre latency and loss)"),
        LinkProfile(
            "cable-1000", "Cable modem (DOCSIS 3.1), 1 Gbit/s down, 50 up, with active queue management.",
            down: "rate=1000,rtt=25,jitter=3,loss=0.02%,burst=2,queue=50ms,mtu=1500",
            up: "rate=50,rtt=25,jitter=5,loss=0.02%,burst=2,queue=100ms,aqm=codel,mtu=1500",
            source:
                "typical, after FCC Measuring Broadband America (cable) and RFC 8034 (queue management in DOCSIS)"
        ),
        LinkProfile(
            "cable-100", "Cable modem, 100 Mbit/s down, 20 up, a deep queue upwards.",
            down: "rate=100,rtt=30,jitter=3,loss=0.05%,burst=2,queue=80ms,mtu=1500",
            up: "rate=20,rtt=30,jitter=5,loss=0.05%,burst=2,queue=150ms,mtu=1500",
            source: "typical, after FCC Measuring Broadband America (cable latency and loss)"),
        LinkProfile(
            "dsl-50", "VDSL2 from the street cabinet, 50 Mbit/s down, 10 up.",
            down: "rate=50,rtt=35,jitter=1.5,loss=0.05%,burst=2,queue=120ms,mtu=1492",
            up: "rate=10,rtt=35,jitter=1.5,loss=0.05%,burst=2,queue=200ms,mtu=1492",
            source: "typical, after Ofcom UK Home Broadband Performance (FTTC)"),
        LinkProfile(
            "dsl-25", "VDSL on a longer wire, 25 Mbit/s down, 5 up: the line this project is made for.",
            down: "rate=25,rtt=50,jitter=2,loss=0.1%,burst=2,queue=150ms,mtu=1492",
            up: "rate=5,rtt=50,jitter=2,loss=0.1%,burst=2,queue=250ms,mtu=1492",
            source: "typical, after FCC Measuring Broadband America (DSL latency and loss)"),
        LinkProfile(
            "dsl-12", "ADSL2+ with interleaving, 12 Mbit/s down, 1 up, a very deep queue upwards.",
            down: "rate=12,rtt=60,jitter=2,loss=0.2%,burst=2,queue=200ms,mtu=1492",
            up: "rate=1,rtt=60,jitter=3,loss=0.2%,burst=2,queue=600ms,mtu=1492",
            source: "typical, after Ofcom UK Home Broadband Performance (ADSL2+) and ITU-T G.992.5"),
        LinkProfile(
            "5g-mmwave", "5G on millimetre waves: very fast in sight of the mast, gone behind a corner.",
            down:
                "trace=1200:1500:900:1600:1300:80:0:30:700:1500@500,rtt=30,jitter=5,loss=0.1%,burst=4,queue=100ms,mtu=1428",
            up:
                "trace=90:110:70:120:95:10:0:5:60:110@500,rtt=30,jitter=6,loss=0.1%,burst=4,queue=150ms,mtu=1428",
            source:
                "typical, after Narayanan et al., SIGCOMM 2021 (5G in the wild); the trace is synthetic"
        ),
        LinkProfile(
            "5g", "5G below 6 GHz, 60 to 250 Mbit/s down, 15 to 40 up, a quarter of a second deep.",
            down:
                "trace=180:210:250:160:120:60:90:140:200:230:75:150@500,rtt=40,jitter=6,loss=0.1%,burst=3,queue=250ms,mtu=1428",
            up:
                "trace=30:34:40:26:20:15:18:24:32:36:16:25@500,rtt=40,jitter=8,loss=0.1%,burst=3,queue=250ms,mtu=1428",
            source:
                "typical, after Xu et al., SIGCOMM 2020 (operational 5G) and Ookla 5G medians; the trace is synthetic"
        ),
        LinkProfile(
            "lte", "A mobile cell, 10 to 50 Mbit/s down with half-second holes, deep queue.",
            down:
                "trace=35:42:50:28:18:10:22:31:26:0:24:38@500,rtt=60,jitter=10,loss=0.2%,burst=4,queue=400ms,mtu=1428",
            up:
                "trace=10:12:9:6:3:5:8:11:10:1:6:9@500,rtt=60,jitter=12,loss=0.2%,burst=4,queue=400ms,mtu=1428",
            source:
                "typical, after Huang et al., MobiSys 2012 and Winstein et al., NSDI 2013; the trace is synthetic"
        ),
        LinkProfile(
            "lte-edge",
            "The edge of a mobile cell: 1 to 9 Mbit/s down, second-long holes, a very deep queue.",
            down:
                "trace=6:8:9:5:3:1:0:0:2:4:7:5@500,rtt=90,jitter=20,loss=1%,burst=6,queue=1000ms,mtu=1428",
            up:
                "trace=2:2.5:3:1.5:1:0.3:0:0:0.6:1.2:2.2:1.6@500,rtt=90,jitter=25,loss=1%,burst=6,queue=1000ms,mtu=1428",
            source:
                "typical, after Winstein et al., NSDI 2013 (LTE while driving); the trace is synthetic"
        ),
        LinkProfile(
            "3g", "HSPA on the move: 0.3 to 4 Mbit/s down, gaps of seconds.",
            down:
                "trace=2.5:3.2:4:1.8:0.9:0.3:0:0:0:1.1:2.2:3@1000,rtt=150,jitter=40,loss=0.5%,burst=5,queue=1500ms,mtu=1400",
            up:
                "trace=0.9:1.1:1.3:0.6:0.4:0.1:0:0:0:0.5:0.8:1@1000,rtt=150,jitter=50,loss=0.5%,burst=5,queue=1500ms,mtu=1400",
            source: "typical, after Riiser et al., MMSys 2013 (HSDPA commute paths); the trace is synthetic"),
        LinkProfile(
            "mobile-metered",
            "Mobile data past its quota: what exceeds 5 Mbit/s down or 1 up is dropped, not queued.",
            down:
                "rate=30,policer=5,policerburst=64000,queue=200ms,rtt=70,jitter=10,loss=0.2%,burst=4,mtu=1428",
            up: "rate=8,policer=1,policerburst=16000,queue=200ms,rtt=70,jitter=12,loss=0.2%,burst=4,mtu=1428",
            source: "typical, after Flach et al., SIGCOMM 2016 (traffic policing); rates as sold in tariffs"),
        LinkProfile(
            "starlink", "Low-orbit satellite, 100 Mbit/s down, 12 up, losses in bursts.",
            down: "rate=100,rtt=50,jitter=8,loss=0.8%,burst=6,queue=80ms,mtu=1500",
            up: "rate=12,rtt=50,jitter=10,loss=0.8%,burst=6,queue=120ms,mtu=1500",
            source: "typical, after Michel et al., IMC 2022 and Mohan et al., WWW 2024"),
        LinkProfile(
            "starlink-congested", "Low-orbit satellite in a full cell in the evening, 10 to 40 Mbit/s down.",
            down:
                "trace=25:32:40:28:18:12:10:16:22:30:14:20@15000,rtt=80,jitter=25,loss=2%,burst=8,queue=150ms,mtu=1500",
            up:
                "trace=5:6:8:5:4:2:2:3:4:6:3:4@15000,rtt=80,jitter=25,loss=2%,burst=8,queue=200ms,mtu=1500",
            source:
                "typical, after Mohan et al., WWW 2024 (15-s reallocation) and Ookla; the trace is synthetic"
        ),
        LinkProfile(
            "geo-satellite",
            "Geostationary satellite, 30 Mbit/s down, 3 up, more than half a second of round trip.",
            down: "rate=30,rtt=620,jitter=15,loss=0.5%,burst=4,queue=500ms,mtu=1500",
            up: "rate=3,rtt=620,jitter=25,loss=0.5%,burst=4,queue=800ms,mtu=1500",
            source:
                "the delay after ITU-T G.114 (260 ms a hop); the rest typical, after FCC reports on satellite access"
        ),
        LinkProfile(
            "wifi-home", "A decent wireless network at home before a 200 Mbit/s line.",
            down: "rate=200,rtt=25,jitter=4,loss=0.1%,burst=2,queue=80ms,aqm=codel,mtu=1500",
            up: "rate=50,rtt=25,jitter=5,loss=0.1%,burst=2,queue=100ms,mtu=1500",
            source: "typical, after Sui et al., MobiSys 2016 (latency of wireless access)"),
        LinkProfile(
            "wifi-congested", "A crowded wireless network, 20 Mbit/s, 3 % lost in bursts.",
            down: "rate=20,rtt=40,jitter=10,loss=3%,burst=4,queue=120ms,reorder=0.2%,reorderby=8,mtu=1500",
            source: "typical, after Sui et al., MobiSys 2016 (its worst tenth)"),
        LinkProfile(
            "wifi-hotel",
            "A hotel's or airport's wireless network: 6 Mbit/s shared, slow, lossy, small packets.",
            down: "rate=6,rtt=80,jitter=30,loss=2%,burst=5,queue=400ms,reorder=0.1%,reorderby=10,mtu=1400",
            up: "rate=2,rtt=80,jitter=30,loss=2%,burst=5,queue=600ms,reorder=0.1%,reorderby=10,mtu=1400",
            source: "set by hand; no public survey of such networks is good enough to follow"),
        LinkProfile(
            "dc-region", "Two machines in data centres of one region, 10 Gbit/s.",
            down: "rate=10000,rtt=1,jitter=0.05,loss=0.0001%,queue=5ms,mtu=1500",
            source: "typical, after published inter-zone round trips of public clouds (cloudping.co)"),
        LinkProfile(
            "dc-wan", "Data centres on two coasts of a continent, 1 Gbit/s.",
            down: "rate=1000,rtt=70,jitter=0.5,loss=0.01%,burst=2,queue=20ms,mtu=1500",
            source: "typical, after cloudping.co (us-east to us-west) and RIPE Atlas"),
        LinkProfile(
            "transpacific", "Data centres on both sides of an ocean, 500 Mbit/s.",
            down: "rate=500,rtt=170,jitter=1,loss=0.05%,burst=3,queue=30ms,mtu=1500",
            source: "typical, after cloudping.co (us-east to ap-northeast) and RIPE Atlas"),
        LinkProfile(
            "home-vpn", "A WireGuard tunnel over a home line, 40 Mbit/s, longer way, shorter packets.",
            down: "rate=40,rtt=70,jitter=4,loss=0.2%,burst=2,queue=150ms,mtu=1480,overhead=88",
            up: "rate=10,rtt=70,jitter=4,loss=0.2%,burst=2,queue=200ms,mtu=1480,overhead=88",
            source:
                "cable-100 by a detour; overhead and mtu after WireGuard's packet format (60 bytes over IPv4)"
        ),
        LinkProfile(
            "lossy-wan", "A bad intercontinental route: 100 Mbit/s, 5 % lost in bursts, 200 ms.",
            down: "rate=100,rtt=200,jitter=10,loss=5%,burst=3,queue=100ms,reorder=0.1%,mtu=1500",
            source: "set by hand: the bad end of what RIPE Atlas and ITU-T G.114 allow for"),
    ]
}
