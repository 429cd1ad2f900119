/// What a node can be told, and from where: a TOML file, then the environment (`MILLRACE_*`), then flags, the later
/// winning. One list serves all three and `millrace config print`, so a setting cannot exist in one of them only.

/// A setting of `sequencer`, `relay`, `replica` and `replay`. The raw value is the key in the TOML file and the flag's
/// name; the environment's name is upper case with underscores.
public enum Setting: String, CaseIterable, Sendable {
    case listen
    case key
    case chainID = "chain-id"
    case sequencer
    case parents
    case neighbours
    case bootstrap
    case parentsWanted = "parents-wanted"
    case advertise
    case anchors
    case parity
    case parityMin = "parity-min"
    case coarseWindows = "coarse-windows"
    case cadence
    case retentionMiB = "retention-mib"
    case childrenMax = "children-max"
    case knownChildren = "known-children"
    case childMbitPerSec = "child-mbit"
    case linkMbitPerSec = "link-mbit"
    case uplinkMbitPerSec = "uplink-mbit"
    case datagramBytes = "datagram-bytes"
    case statusSocket = "status-socket"
    case logLevel = "log-level"

    public var defaultValue: String {
        switch self {
        case .listen: "127.0.0.1:9700"
        case .key: ""
        case .chainID: "1"
        case .sequencer: ""
        case .parents: ""
        case .neighbours: ""
        case .bootstrap: ""
        case .parentsWanted: "0"
        case .advertise: ""
        case .anchors: ""
        case .parity: "4"
        case .parityMin: "1"
        case .coarseWindows: "yes"
        case .cadence: "auto"
        case .retentionMiB: "256"
        case .childrenMax: "256"
        case .knownChildren: ""
        case .childMbitPerSec: "100"
        case .linkMbitPerSec: "0"
        case .uplinkMbitPerSec: "0"
        case .datagramBytes: "1472"
        case .statusSocket: ""
        case .logLevel: "notice"
        }
    }

    public var help: String {
        switch self {
        case .listen: "UDP address to listen on."
        case .key:
            "Identity file made by `millrace keys generate`; without one the node is a stranger each time."
        case .chainID: "Number of the chain: peers of another chain are refused."
        case .sequencer:
            "The sequencer's signing key (64 hexadecimal digits) against which every header is checked."
        case .parents:
            "Comma-separated mill://KEY@HOST:PORT of the peers to take stripes from, whatever else is found."
        case .neighbours:
            "Comma-separated mill://KEY@HOST:PORT of up to 8 relays to ask for what no parent gives."
        case .bootstrap:
            "Comma-separated mill://KEY@HOST:PORT of peers that know others: parents are found through them."
        case .parentsWanted:
            "Parents in all when they are found, configured ones included; 0: 8 for a replica, 4 for a relay."
        case .advertise:
            "HOST:PORT at which others reach this node; by default where it listens, unless that is every address."
        case .anchors:
            "File that keeps peers found over a restart; by default beside the identity file, none without one."
        case .parity: "Parity shreds per slice that a sequencer makes, 0 to 16."
        case .coarseWindows:
            "yes or no: a sequencer makes windows of 0.1, 1 and 10 s, and a replica takes them when it is behind."
        case .cadence:
            "The one cadence that a replica follows, c1 to c3, where windows are made; auto: the finest that its line carries."
        case .parityMin:
            "The fewest parity shreds per slice that a follower buys, 0 to 16; its losses buy more."
        case .retentionMiB: "Memory for recent slices that others may ask for."
        case .childrenMax: "Peers served at once."
        case .knownChildren:
            "Comma-separated session keys (52 Base32 characters) of peers whose places strangers never take."
        case .childMbitPerSec: "Pace towards one child: a mini-block's shreds are spread at this rate."
        case .linkMbitPerSec: "What this node's own line can receive, split over its parents; 0: not known."
        case .uplinkMbitPerSec:
            "What this node's own line can send, for all children together; 0: not known, and nobody is refused for it."
        case .datagramBytes:
            "The longest datagram (UDP payload) sent to children whose path carries it, 1232 (every path) to 1472."
        case .statusSocket: "Unix socket on which the node answers `millrace status`; none by default."
        case .logLevel: "trace, debug, info, notice, warning, error or critical."
        }
    }

    public var environmentName: String {
        "MILLRACE_" + rawValue.uppercased().replacing("-", with: "_")
    }
}
