import ArgumentParser
import Foundation
import MillraceNode

/// The settings that `sequencer`, `relay`, `replica`, `replay` and `config print` share, as flags over environment over
/// file.
struct NodeOptions: ParsableArguments {
    @Option(help: "TOML file with settings; `millrace config print` shows the effective ones.") var config:
        String?
    @Option(help: "UDP address to listen on (default 127.0.0.1:9700).") var listen: String?
    @Option(help: "Identity file made by `millrace keys generate`.") var key: String?
    @Option(help: "Number of the chain (default 1).") var chainID: String?
    @Option(help: "The sequencer's signing key, 64 hexadecimal digits.") var sequencer: String?
    @Option(help: "Comma-separated mill://KEY@HOST:PORT to take stripes from.") var parents: String?
    @Option(help: "Comma-separated mill://KEY@HOST:PORT to ask for others: parents are found through them.")
    var bootstrap: String?
    @Option(help: "Parents in all when they are found (default 8, of a relay 4).") var parentsWanted: String?
    @Option(help: "HOST:PORT at which others reach this node, if it is not where it listens.") var advertise:
        String?
    @Option(help: "File that keeps found peers over a restart (default: beside the identity file).")
    var anchors: String?
    @Option(help: "Parity shreds per slice that a sequencer makes (0 to 16, default 4).") var parity: String?
    @Option(help: "The fewest that a follower buys (0 to 16, default 1); measured loss buys more.")
    var parityMin: String?
    @Option(help: "yes or no: windows of 0.1, 1 and 10 s are made, and taken when behind (default yes).")
    var coarseWindows: String?
    @Option(help: "The one cadence that a replica follows: c1, c2 or c3 (default auto: as its line carries).")
    var cadence: String?
    @Option(name: .customLong("retention-mib"), help: "MiB kept of recent slices (default 256).")
    var retentionMiB: String?
    @Option(help: "Peers served at once (default 256).") var childrenMax: String?
    @Option(help: "Comma-separated keys of peers for whom places are kept among those served.")
    var knownChildren: String?
    @Option(name: .customLong("child-mbit"), help: "Pace towards one child in Mbit/s (default 100).")
    var childMbit: String?
    @Option(
        name: .customLong("link-mbit"),
        help: "What this node's own line can receive, in Mbit/s; 0: not known.")
    var linkMbit: String?
    @Option(
        name: .customLong("uplink-mbit"),
        help: "What this node's own line can send to all its children, in Mbit/s; 0: not known.")
    var uplinkMbit: String?
    @Option(help: "Comma-separated mill://KEY@HOST:PORT of relays to ask for what no parent gives.")
    var neighbours: String?
    @Option(help: "The longest datagram sent to children whose path carries it (1232 to 1472, default 1472).")
    var datagramBytes: String?
    @Option(help: "Unix socket on which the node answers `millrace status`.") var statusSocket: String?
    @Option(help: "trace, debug, info, notice, warning, error or critical (default notice).") var logLevel:
        String?

    func settings() throws -> Settings {
        let given = Setting.allCases.compactMap { setting in flag(setting).map { (setting, $0) } }
        return try reporting {
            try Settings.load(
                file: config, environment: ProcessInfo.processInfo.environment,
                flags: Dictionary(uniqueKeysWithValues: given))
        }
    }

    /// Every setting has a flag.
    private func flag(_ setting: Setting) -> String? {
        switch setting {
        case .listen: listen
        case .key: key
        case .chainID: chainID
        case .sequencer: sequencer
        case .parents: parents
        case .neighbours: neighbours
        case .bootstrap: bootstrap
        case .parentsWanted: parentsWanted
        case .advertise: advertise
        case .anchors: anchors
        case .parity: parity
        case .parityMin: parityMin
        case .coarseWindows: coarseWindows
        case .cadence: cadence
        case .retentionMiB: retentionMiB
        case .childrenMax: childrenMax
        case .knownChildren: knownChildren
        case .childMbitPerSec: childMbit
        case .linkMbitPerSec: linkMbit
        case .uplinkMbitPerSec: uplinkMbit
        case .datagramBytes: datagramBytes
        case .statusSocket: statusSocket
        case .logLevel: logLevel
        }
    }
}

/// Runs `body`; a configuration's error becomes a usage failure with its sentence.
func reporting<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as ConfigError { throw Failure(.usage, error.description) }
}
