/// What is simulated: who is there, how they are connected, what is sent, what goes wrong, and what is expected. Plain values;
/// `ScenarioText` reads them from TOML, the command line makes one from a link alone, the swarm draws them from a seed.

public import MillraceBase
public import MillraceCore
public import MillraceLink
public import MillraceWorkload

public enum Fidelity: String, Sendable, CaseIterable {
    /// Real payloads: coded, encrypted, hashed, recovered, decoded and applied by every replica.
    case full
    /// Real frames, headers, timers and decisions; payloads have sizes and no bytes.
    case network
}

public enum NodeRole: String, Sendable, CaseIterable {
    case sequencer, relay, replica
}

/// Both directions of a node's access line.
public struct AccessLink: Hashable, Sendable {
    /// As it was written, for reports.
    public var text: String
    public var down: LinkParameters
    public var up: LinkParameters

    public init(text: String, down: LinkParameters, up: LinkParameters) {
        self.text = text
        self.down = down
        self.up = up
    }

    /// No rate, no delay, no loss.
    public static let none = AccessLink(text: "none", down: LinkParameters(), up: LinkParameters())
}

/// Nodes that are alike.
public struct NodeGroup: Hashable, Sendable {
    public var name: String
    public var role: NodeRole
    public var count = 1
    public var link = AccessLink.none
    /// Regions in turn; empty for all in one place.
    public var regions: [String] = []
    /// Groups from which parents are drawn.
    public var parents: [String] = []
    /// Parents of each node; at most as many as those groups have nodes.
    public var parentCount = 2
    /// Groups of which each node knows two to ask: it finds its parents itself, `parentCount` with those it was given.
    public var bootstrap: [String] = []
    /// Groups of relays of which each node may ask so many for what its parents do not give.
    public var neighbours: [String] = []
    public var neighbourCount = 0
    /// Contracts it gives at most; nil for `childrenLimit`.
    public var childrenMax: Int?
    public static let childrenLimit = 1_000
    /// What it says its line up carries, in Mbit/s; 0 for nothing said.
    public var uplinkMbit = 0
    /// The longest datagram it sends where a path carries it: 1,232 to 1,472.
    public var datagramBytes = 1_232
    /// The fewest parity stripes to subscribe to.
    public var parityStripes = 1
    /// What the node says its link can receive; 0 for nothing said.
    public var linkKilobitsPerSecond: UInt32 = 0
    /// The cadence that its replicas are told to follow; nil for the finest that their lines carry.
    public var cadence: Cadence?
    /// The shared line that its nodes stand behind.
    public var behind: String?
    /// Clocks are drawn within these, either way.
    public var driftPPM: Int64 = 0
    public var skewMilliseconds: Int64 = 0
    public var processor = ProcessorModel()
    /// The attack that brings these nodes; nil for honest ones.
    var attack: Int?

    public init(name: String, role: NodeRole) {
        self.name = name
        self.role = role
    }
}

/// A line that several nodes stand behind: a street's cabinet, a cell, a household's router.
public struct SharedLineGroup: Hashable, Sendable {
    public var name: String
    public var link: AccessLink
    /// How many nodes to each such line; 0 for one line for all.
    public var nodesPerLine: Int

    public init(name: String, link: AccessLink, nodesPerLine: Int = 0) {
        self.name = name
        self.link = link
        self.nodesPerLine = nodesPerLine
    }
}

/// Which nodes: all of a group, one of them, or a share of them chosen by the seed.
public struct NodeSelector: Hashable, Sendable {
    public enum Share: Hashable, Sendable {
        case all
        /// By number within the group, from 0.
        case one(Int)
        /// So many, chosen by the seed.
        case some(Int)
        /// So many of a thousand, rounded up, chosen by the seed.
        case permille(Int)
    }
    public var group: String
    public var share: Share

    public init(group: String, share: Share = .all) {
        self.group = group
        self.share = share
    }
}

/// Something that goes wrong at a time, and for a while.
public struct Fault: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// Those selected cannot reach the others, nor be reached.
        case partition
        /// Those selected cannot reach the others; the others reach them.
        case muted
        /// The others cannot reach those selected; they reach the others.
        case deafened
        /// The process ends, and begins anew when the fault is over.
        case crash
        /// The process stands still and goes on when the fault is over.
        case pause
        /// The wall clock jumps by so many milliseconds.
        case clockStep(milliseconds: Int64)
        /// The address changes, as behind a NAT that forgot.
        case rebind
        /// Processes come and go: each of those selected, by itself, ends after a time of `up` on average and begins anew after
        /// one of `down`, until the fault is over.
        case churn(up: Interval, down: Interval)
    }
    public var kind: Kind
    public var nodes: NodeSelector
    /// After the first mini-block.
    public var at: Interval
    public var lasts: Interval

    public init(_ kind: Kind, _ nodes: NodeSelector, at: Interval, lasts: Interval = .zero) {
        self.kind = kind
        self.nodes = nodes
        self.at = at
        self.lasts = lasts
    }
}

/// What a scenario promises; nil promises nothing.
public struct Expectations: Hashable, Sendable {
    public var verdict: LinkVerdict?
    public var lagMsP50: Double?
    public var lagMsP99: Double?
    public var lagMsMax: Double?

    // Of all honest replicas together.

    /// The p99 of what mini-blocks took beyond the way straight from the sequencer.
    public var deliveryOverDirectMsP99: Double?
    public var receivedOverOwed: Double?
    public var wireOverPayload: Double?
    public var sequencerUplinkRatio: Double?

    // Of attacks.

    /// Once `recoveryMs` have passed since an attack began, the p99 is at most so many times that of the same run without
    /// attacks.
    public var lagTimesBaseline: Double?
    /// Instead of `lagTimesBaseline`: so much beyond the way straight from the sequencer.
    public var recoveredOverDirectMs: Double?
    public var recoveryMs: Double?
    /// Every honest node has all of the stream at the end.
    public var converges: Bool?
    /// Honest nodes that honest nodes banned.
    public var honestBanned: Int?
    /// Attackers that some honest node banned, at least.
    public var attackersBannedMin: Int?
    /// Bytes sent to forged addresses over bytes that came from them.
    public var amplification: Double?
    /// Datagrams of a replay or flood that a core took as genuine.
    public var accepted: Int?
    /// Every honest node stops, with a proof in hand, within so long after the two histories parted.
    public var equivocationProvenMs: Double?
    /// Which cadence every replica follows when the stream ends.
    public var cadence: Cadence?
    /// From this second of the stream on, no replica's state is older than a second.
    public var freshFrom: Double?
    /// No session of a replica may end while the stream runs.
    public var staysConnected: Bool?
    public init() {}
}

public struct Scenario: Hashable, Sendable {
    public var name: String
    public var workload = WorkloadSpec(.swap)
    public var seconds = 30
    public var fidelity = Fidelity.network
    /// The sequencer's parity shreds per slice.
    public var parityCount = 4
    /// Windows of coarser cadences are served, and replicas take them; else there is c0 only.
    public var hasWindows = false
    public var groups: [NodeGroup] = []
    /// Round trips between regions; nil when everything is in one place.
    public var latency: RegionLatency?
    /// By name.
    public var sharedLines: [SharedLineGroup] = []
    public var faults: [Fault] = []
    public var attacks: [Attack] = []
    public var expect = Expectations()

    public init(name: String) { self.name = name }

    /// Groups in the order of roles, then of names: what decides nodes' numbers, however the scenario came about.
    mutating func sortGroups() {
        let order = NodeRole.allCases
        groups.sort { a, b in
            let (x, y) = (order.firstIndex(of: a.role) ?? 0, order.firstIndex(of: b.role) ?? 0)
            return x != y ? x < y : a.name < b.name
        }
    }

    /// Whether any node looks for its parents: then all that serve are listed.
    var isOpen: Bool { groups.contains { !$0.bootstrap.isEmpty } }

    /// How long nodes have to connect before the stream begins: two seconds, and on long ways many round trips, since handshakes
    /// are lost there like anything else.
    var warmUp: Interval {
        let longest = groups.reduce(Interval.zero) { max($0, $1.link.down.delay + $1.link.up.delay) }
        return .seconds(2) + min(max(longest - .milliseconds(100), .zero) * 20, .seconds(20))
    }

    public var nodeCount: Int { groups.reduce(0) { $0 + $1.count } }
}

/// One-way delays between named regions.
public struct RegionLatency: Hashable, Sendable {
    public var names: [String]
    /// By `from * names.count + to`.
    public var oneWay: [Interval]

    public init(names: [String], oneWay: [Interval]) {
        precondition(oneWay.count == names.count * names.count, "a latency matrix is square")
        self.names = names
        self.oneWay = oneWay
    }
}

public enum ScenarioLimits {
    public static let nodesMax = 20_000
    public static let groupsMax = 64
    public static let faultsMax = 10_000
    /// Of all churn together: a thousand nodes that leave a hundred times.
    public static let churnCrashesMax = 100_000
    public static let sharedLinesMax = 64
    public static let attacksMax = 16
    public static let attackersPerHonestMax = 100
    /// Datagrams or requests a second of one attacker.
    public static let attackRateMax = 100_000
    /// 128.0.0.0 … 168.255.0.0, by /16.
    public static let subnetsMax = 10_000
    public static let secondsMax = 86_400
    public static let regionsMax = 1_000
    public static let fileBytesMax = 1 << 20
}
