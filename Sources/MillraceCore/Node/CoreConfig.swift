/// What a shell decides about a core. Plain values; defaults suit links of 15–100 Mbit/s.

public import MillraceBase
public import MillraceCrypto
import MillraceWire

/// Where a parent is and, if known, who it is. With the key the handshake is Noise IK, without it XX.
public struct PeerEndpoint: Hashable, Sendable {
    public var key: PublicKey?
    public var address: PeerAddress
    public init(key: PublicKey? = nil, address: PeerAddress) {
        self.key = key
        self.address = address
    }
}

/// What a simulated network does with payload bytes. A node on sockets always carries them.
package enum PayloadForm: Sendable {
    /// Every byte is there: coded, hashed, encrypted, verified.
    case carried
    /// The real frames, headers, timers and decisions; but symbols have a length and no bytes, datagrams are not encrypted,
    /// signatures and hashes are taken as good, and no state is kept. One core then serves thousands of nodes (the
    /// simulator's `network` fidelity).
    case byReference
}

/// Of every core: who it is and which stream it carries.
public struct StreamIdentity: Sendable {
    /// The node's own key for sessions.
    public var identity: StaticKeyPair
    public var chainID: UInt64
    /// Restarts of the stream from height 1 count up; followers refuse another epoch.
    public var epoch: UInt32
    /// The wall clock when the core was made, in Unix microseconds: handshakes carry it, so that an old one cannot be
    /// played again after a restart.
    public var startMicroseconds: UInt64
    /// Whether payloads are carried or only referred to. Nothing outside this package can set it.
    package var payloads = PayloadForm.carried
    public init(identity: StaticKeyPair, chainID: UInt64, epoch: UInt32 = 0, startMicroseconds: UInt64) {
        self.identity = identity
        self.chainID = chainID
        self.epoch = epoch
        self.startMicroseconds = startMicroseconds
    }
}

/// How a node serves children (sequencer and relay).
public struct ServingConfig: Sendable {
    public var childrenMax = 64
    /// Children that always find a place: strangers are given no more than these leave over. What keeps a source from being
    /// eclipsed.
    public var knownChildren: [PublicKey] = []
    /// The fastest a child is sent to, whatever budget it grants; also the pace for children that name none. It spreads
    /// a mini-block over a few ms: 28 shreds of 1.2 KB at 100 Mbit/s take 2.8 ms.
    public var pacingKilobitsPerSecond: UInt32 = 100_000
    /// What this node's own line up carries, for all children together; 0 when not known. Contracts beyond it are refused, and
    /// parity goes first.
    public var uplinkKilobitsPerSecond: UInt32 = 0
    /// The longest datagram (UDP payload) to send where the way to a child carries it (Spec 55.8): 1,232, which every way does,
    /// to 1,472.
    public var datagramBytesMax = Limits.datagramBytesMax
    /// Shreds queued for one child before newer ones are dropped (and counted): about 0.7 s of the 100,000 TPS stream.
    public var queuedShredsMax = 2_048
    /// Bytes of slices kept for repair and catch-up.
    public var retentionBytesMax = 256 * 1_048_576
    /// How it cheats: for tests and simulations.
    package var misconduct: Misconduct?
    public init() {}

    /// Of a thousand shreds that contracts owe, how many are left out: one way to cheat.
    package var withheldPerMille: Int {
        get { misconduct?.withheldPerMille ?? 0 }
        set {
            var changed = misconduct ?? Misconduct()
            changed.withheldPerMille = newValue
            misconduct = changed
        }
    }
}

/// How a node follows parents (relay and replica).
public struct FollowingConfig: Sendable {
    public var parents: [PeerEndpoint]
    /// Who may be asked for what parents do not give, but is no parent: at most `FollowingConfig.neighboursMax`.
    public var neighbours: [PeerEndpoint] = []
    /// The fewest parity stripes to subscribe to, over all parents; measured loss buys more.
    public var parityStripes = 1
    /// What this node's own link can receive; 0 when not known. It is split over the parents as their budgets.
    public var linkKilobitsPerSecond: UInt32 = 0
    /// Shreds asked for and not yet answered, all parents together. The window starts small and adapts; this is its cap.
    public var windowShredsMax = 512
    /// Bytes of slices kept while waiting for older ones (replica), see `ServingConfig` for a relay.
    public var waitingBytesMax = 256 * 1_048_576
    /// Windows of coarser cadences are taken when the stream cannot be carried, and over gaps (replica).
    public var takesWindows = true
    /// The one cadence to follow where windows are served, c1 to c3: for a line that is metered. Nil: the finest that the line
    /// carries (replica).
    public var cadence: Cadence?
    public init(parents: [PeerEndpoint]) { self.parents = parents }

    /// Each costs a STATUS of some 60 bytes on the wire every 50 ms, 10 kbit/s: eight are less than a hundredth of a stream.
    public static let neighboursMax = 8
}

/// Who makes the payloads of the coarser cadences (c1 to c3) at a sequencer.
public enum WindowMaking: Sendable {
    /// Nobody: only c0 is served.
    case none
    /// The core, when the window's last mini-block is sealed: that call takes as long as encoding does.
    case inline
    /// The shell, with a `WindowMaker` on another thread: it takes diffs from `onSealed` and hands windows to `add`.
    case elsewhere
}

public struct SequencerConfig: Sendable {
    public var stream: StreamIdentity
    public var signingKey: SigningKey
    /// Parity shreds made per slice; what is sent of them is up to the children.
    public var parityCount = 4
    /// Slices that a parity shred covers, 1…16 (Spec 40.6). 1 is one code per slice, for comparison.
    public var windowSpan = WireLimits.windowSpanMax
    /// The largest symbol: what fits the smallest datagram of any path, unless a network is known to carry less.
    public var symbolBytesMax = WireLimits.symbolBytesMax
    public var serving = ServingConfig()
    /// The node's part in the network of strangers; by default none.
    public var membership = MembershipConfig()
    public var windows = WindowMaking.none
    /// Bytes of windows of the coarser cadences kept for those who ask: at 100,000 TPS a minute or two of c2, and of c3 some
    /// minutes.
    public var windowBytesMax = 256 * 1_048_576
    public init(stream: StreamIdentity, signingKey: SigningKey) {
        self.stream = stream
        self.signingKey = signingKey
    }
}

public struct RelayConfig: Sendable {
    public var stream: StreamIdentity
    /// Whose headers are believed.
    public var sequencerKey: VerifyingKey
    public var following: FollowingConfig
    public var serving = ServingConfig()
    /// The node's part in the network of strangers; by default none.
    public var membership = MembershipConfig()
    public init(stream: StreamIdentity, sequencerKey: VerifyingKey, following: FollowingConfig) {
        self.stream = stream
        self.sequencerKey = sequencerKey
        self.following = following
    }
}

public struct ReplicaConfig: Sendable {
    public var stream: StreamIdentity
    /// Whose headers are believed.
    public var sequencerKey: VerifyingKey
    public var following: FollowingConfig
    /// The node's part in the network of strangers; by default none.
    public var membership = MembershipConfig()
    public init(stream: StreamIdentity, sequencerKey: VerifyingKey, following: FollowingConfig) {
        self.stream = stream
        self.sequencerKey = sequencerKey
        self.following = following
    }
}
