/// Settings turned into the cores' configurations, with a sentence for each that does not fit.

import Foundation
import Logging
import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceLoop

struct NodePlan {
    let settings: Settings
    let identity: Identity
    let listen: PeerAddress
    let log: Logger

    init(_ settings: Settings, role: String) throws {
        self.settings = settings
        let path = settings.text(.key)
        identity =
            try path.isEmpty
            ? Identity(secret: Hash32(word: Machine.randomSeed().word)) : Identity.load(path: path)
        guard let listen = settings.listen else {
            throw settings.wrong(.listen, "HOST:PORT with a numeric address")
        }
        self.listen = listen
        guard let level = Logger.Level(rawValue: settings.text(.logLevel)) else {
            throw settings.wrong(.logLevel, "trace, debug, info, notice, warning, error or critical")
        }
        var log = Logger(label: "millrace.\(role)") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = level
        self.log = log
    }

    var stream: StreamIdentity {
        StreamIdentity(
            identity: identity.session, chainID: settings.chainID, startMicroseconds: Machine.wallMicroseconds
        )
    }

    func serving() throws -> ServingConfig {
        var serving = ServingConfig()
        serving.childrenMax = try settings.integer(.childrenMax, 1...4_096)
        serving.knownChildren = try settings.text(.knownChildren).split(separator: ",").map { part in
            let text = part.trimmingPrefix(while: \.isWhitespace)
            guard let key = PublicKey(base32: String(text)) else {
                throw settings.wrong(.knownChildren, "keys of 52 Base32 characters, not \"\(text)\"")
            }
            return key
        }
        guard serving.knownChildren.count <= serving.childrenMax else {
            throw settings.wrong(
                .knownChildren, "at most as many keys as children-max, \(serving.childrenMax)")
        }
        serving.pacingKilobitsPerSecond = UInt32(try settings.integer(.childMbitPerSec, 1...100_000)) * 1_000
        serving.uplinkKilobitsPerSecond =
            UInt32(try settings.integer(.uplinkMbitPerSec, 0...100_000)) * 1_000
        serving.datagramBytesMax = try settings.integer(.datagramBytes, 1_232...1_472)
        serving.retentionBytesMax = try settings.integer(.retentionMiB, 1...65_536) * 1_048_576
        return serving
    }

    func following() throws -> FollowingConfig {
        let parents = try peers(.parents)
        guard try !parents.isEmpty || !peers(.bootstrap).isEmpty else {
            throw settings.wrong(.parents, "one or more mill://KEY@HOST:PORT, or some as bootstrap")
        }
        var following = FollowingConfig(parents: parents)
        following.neighbours = try peers(.neighbours)
        guard following.neighbours.count <= FollowingConfig.neighboursMax else {
            throw settings.wrong(.neighbours, "at most \(FollowingConfig.neighboursMax) peers")
        }
        following.parityStripes = try settings.integer(.parityMin, 0...16)
        following.takesWindows = try hasWindows()
        let cadence = settings.text(.cadence)
        if cadence != "auto" {
            guard let told = Cadence(name: cadence), told != .c0, following.takesWindows else {
                throw settings.wrong(.cadence, "auto, c1, c2 or c3, and coarse windows")
            }
            following.cadence = told
        }
        following.linkKilobitsPerSecond = UInt32(try settings.integer(.linkMbitPerSec, 0...100_000)) * 1_000
        return following
    }

    func hasWindows() throws -> Bool {
        switch settings.text(.coarseWindows) {
        case "yes": true
        case "no": false
        default: throw settings.wrong(.coarseWindows, "yes or no")
        }
    }

    /// A list of peers.
    private func peers(_ setting: Setting) throws -> [PeerEndpoint] {
        try settings.text(setting).split(separator: ",").map { part in
            let text = part.trimmingPrefix(while: \.isWhitespace)
            guard let uri = PeerURI(text) else {
                throw settings.wrong(
                    setting, "mill://KEY@HOST:PORT with a key of 52 Base32 characters, not \"\(text)\"")
            }
            return PeerEndpoint(key: uri.key, address: uri.address)
        }
    }

    /// The node's part in the network of strangers. `address` is where it listens; a replica, which serves nobody, is not listed.
    func membership(listeningAt address: PeerAddress, serves: Bool) throws -> MembershipConfig {
        var membership = MembershipConfig()
        if serves {
            membership.recordKey = identity.record
            let advertised = PeerAddress(settings.text(.advertise)) ?? address
            // Nobody can reach every address of ours by its name.
            if !advertised.isWildcard { membership.addresses = [advertised] }
        }
        membership.bootstrap = try peers(.bootstrap)
        membership.findsParents = !membership.bootstrap.isEmpty
        let wanted = try settings.integer(.parentsWanted, 0...32)
        membership.parentsWanted = wanted > 0 ? wanted : serves ? 4 : 8
        if membership.findsParents, let anchorFile {
            do throws(AnchorFile.Failure) {
                membership.anchors = try anchorFile.load()
            } catch { log.warning("\(error); starting without anchors") }
        }
        return membership
    }

    /// Where peers are kept over a restart.
    var anchorFile: AnchorFile? {
        let path = settings.text(.anchors)
        if !path.isEmpty { return AnchorFile(path: path) }
        let key = settings.text(.key)
        return key.isEmpty ? nil : AnchorFile(path: key + ".anchors")
    }

    func sequencerKey() throws -> VerifyingKey {
        guard let key = Hash32(hex: settings.text(.sequencer)) else {
            throw settings.wrong(
                .sequencer, "the sequencer's signing key, 64 hexadecimal digits (`millrace keys show`)")
        }
        return VerifyingKey(key)
    }

    /// Where `millrace status` asks, if the operator wants that.
    func statusSocket(on loop: EventLoop, _ object: @escaping () -> JSON) throws -> StatusSocket? {
        let path = settings.text(.statusSocket)
        return path.isEmpty ? nil : try StatusSocket(on: loop, path: path, object)
    }

    func socket(on loop: EventLoop) throws -> UDPSocket {
        do throws(LoopError) {
            var options = UDPSocketOptions()
            options.mayBeMarked = true
            return try UDPSocket(on: loop, bind: listen, options: options)
        } catch { throw SourceError(error.description) }
    }

    /// The first status object: where the node listens and who it is.
    func listening(at address: PeerAddress, signer: VerifyingKey? = nil) -> [(String, JSON)] {
        var fields: [(String, JSON)] = [
            ("address", .string(address.description)),
            ("peer", .string(PeerURI(key: identity.session.publicKey, address: address).description)),
        ]
        if let signer { fields.append(("signer", .string(signer.bytes32.hex))) }
        return fields
    }
}
