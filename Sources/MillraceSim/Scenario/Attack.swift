/// Who means harm, and how: what an `[[attacks]]` section of a scenario says.

public import MillraceBase

public struct Attack: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        // Strangers join as relays, look for children, and strike together.

        /// They seek out the target; when they strike they give nothing of the stream, and say that they are well.
        case eclipse
        /// They give everything but one height of `oneOf`, which they give to nobody.
        case censor
        /// They leave out `perMille` of a thousand shreds and answer no requests.
        case degrade
        /// They are there, and know each other, before the nodes that look for parents begin; they never give anything.
        case coldBoot = "cold-boot"
        /// They serve well until they all stop at once.
        case covertFlash = "covert-flash"
        /// They begin with everybody else and stop with the first mini-block.
        case dawn
        /// As a covert flash, from a single subnet.
        case colocation = "co-location"

        // Relays of the network turn.

        /// They leave out `perMille` (all) of their shreds; headers and answers go on.
        case withhold
        /// Nothing comes from them any more, not even a word.
        case silence
        /// They leave out a few shreds, `perMille` of a thousand.
        case stealth
        /// They make symbols up, and send each `copies` times.
        case forge

        // Others send datagrams.

        /// What reaches the target is sent to it again, `copies` times, as if from the same sender.
        case replay
        /// Handshakes from addresses that never answer, `perSecond`.
        case spoof
        /// Datagrams of nonsense from addresses of nobody, `perSecond`, as large as the stream's.
        case flood
        /// Children that ask for repair and catch-up, `perSecond` requests each.
        case repairAbuse = "repair-abuse"

        /// Somebody has the sequencer's key and seals another history for the target.
        case equivocate
    }

    /// Who does it.
    public enum Force: Hashable, Sendable {
        /// So many for each honest node.
        case perHonest(Int)
        case count(Int)
        /// Nodes of the network.
        case turned(NodeSelector)
    }

    public var kind: Kind
    public var force: Force
    /// After the first mini-block.
    public var at = Interval.zero
    /// Nil: to the end.
    public var lasts: Interval?
    public var target: NodeSelector?
    public var link = Attack.defaultLink
    /// How many /16 the attackers' addresses are spread over.
    public var subnets = 1
    public var perMille = 0
    public var oneOf = 0
    public var perSecond = 0
    public var copies = 1

    public init(_ kind: Kind, _ force: Force) {
        self.kind = kind
        self.force = force
    }

    public static let defaultLink = AccessLink.dataCentre
    /// As many as an attacker has who wants a whole set of parents, twice over.
    public static let defaultSubnets = 16

    var ends: Interval? { lasts.map { at + $0 } }

    /// How many nodes it brings.
    func count(honest: Int) -> Int {
        switch force {
        case .perHonest(let each): each * honest
        case .count(let count): count
        case .turned: 0
        }
    }
}

extension Attack.Kind {
    enum Family { case strangers, turned, senders, twin }

    var family: Family {
        switch self {
        case .eclipse, .censor, .degrade, .coldBoot, .covertFlash, .dawn, .colocation: .strangers
        case .withhold, .silence, .stealth, .forge: .turned
        case .replay, .spoof, .flood, .repairAbuse: .senders
        case .equivocate: .twin
        }
    }

    /// Whether its nodes are relays, whose cores count what they send.
    var keepsBooks: Bool { family == .strangers || family == .turned }

    /// Whether it lies in bytes that a run by reference does not have.
    var needsBytes: Bool {
        switch self {
        case .forge, .replay, .flood, .equivocate: true
        default: false
        }
    }
}

/// What a scenario says about an attack's end.
extension Expectations {
    /// Whether what is promised is measured against a run of the same scenario without the attacks.
    public var needsBaseline: Bool { lagTimesBaseline != nil }
}
