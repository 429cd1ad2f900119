/// What a shell decides about a node's part in the network of strangers (Spec 65). The default takes no part: parents are those
/// configured, and nothing is told.

public import MillraceBase
public import MillraceCrypto
public import MillraceWire

public struct MembershipConfig: Sendable {
    /// Signs the node's own record; its `agreementKeys` are the node's session keys. Nil: the node is not listed.
    public var recordKey: SigningKey?
    /// Where others reach it: one address, or an IPv4 and an IPv6 one. Empty: the node is not listed.
    public var addresses: [PeerAddress] = []
    /// Whom to ask first.
    public var bootstrap: [PeerEndpoint] = []
    /// Peers of an earlier run (`StreamCore.anchors`): asked before strangers, and believed no more than they.
    public var anchors: [PeerRecord] = []
    /// Whether to look for parents beyond those configured.
    public var findsParents = false
    /// Parents in all, configured ones included; and sessions kept beside them for the day one is lost.
    public var parentsWanted = 8
    public var standbyWanted = 2
    public init() {}

    /// Whether the node says or asks anything at all.
    var isOn: Bool { recordKey != nil || findsParents }
}

/// Bounds of the membership protocol, with their arithmetic.
enum MembershipLimits {
    /// No subnet has more than a quarter of the parents (Spec 65.7).
    static func parentsPerGroup(of wanted: Int) -> Int { max(1, wanted / 4) }
    /// Handshakes under way to addresses that are to be proven.
    static let dialsMax = 4
    /// Sessions begun for the tables' sake and not in use yet: dials, standbys, and what is being asked.
    static let contactsMax = 16
    /// A peer is asked for others at first, then each minute.
    static let askInterval = Interval.seconds(60)
    /// While parents are missing it is asked again after this.
    static let hungryAskInterval = Interval.seconds(5)
    /// A peer is answered four times at once, then once in four seconds: 1,008 bytes every 4 s, 2 kbit/s.
    static let answersMax = 4
    static let answerInterval = Interval.seconds(4)
    /// Requests beyond that, until it is an offence. An honest peer asks every 5 s.
    static let surplusMax = 32
    /// Own records of one peer that are looked at: the same budget, one signature each (0.1 ms).
    static let recordsMax = 4
    /// Records of one subnet in an answer of six.
    static let perGroupInAnswer = 2
    /// Of six, so many places go to peers first reached in the last ten minutes: a young node is tried too.
    static let newcomersInAnswer = 2
    static let newcomerAge = Interval.seconds(600)
    /// Passed on only when reached within three hours.
    static let freshness = Interval.seconds(10_800)
    /// An untested address is tested so often when nothing is missing.
    static let feelerInterval = Interval.seconds(30)
    /// Handshakes in vain with a found parent before it is given up although no other is left: about half a minute.
    static let patience = 6
    /// A contact that has said nothing useful for so long is let go.
    static let contactTime = Interval.seconds(5)
    /// One that gave nothing as a parent is no candidate before then.
    static let silencePause = Interval.seconds(30)
    /// Clocks differ: a record from so far in the future counts.
    static let clockToleranceMicroseconds: UInt64 = 600_000_000
    /// A node's own record: for six hours, signed anew every hour, or after half a minute when what it says has changed.
    static let lifetimeSeconds: UInt32 = 21_600
    static let renewInterval = Interval.seconds(3_600)
    static let changeInterval = Interval.seconds(30)
    static let anchorsMax = 8
    static let anchorInterval = Interval.seconds(10)
    /// Peers that were cut off are not learned again for ten minutes.
    static let shunnedMax = 64
    static let shunInterval = Interval.seconds(600)
    static let turnInterval = Interval.milliseconds(500)
    static let hungryTurnInterval = Interval.milliseconds(200)
}
