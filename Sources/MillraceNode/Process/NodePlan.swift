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
        serving.pacingKilobitsPerSecond = UInt32(try settings.integer(.childMbitPerSec, 1...100_000)) * 1_000
        serving.retentionBytesMax = try settings.integer(.retentionMiB, 1...65_536) * 1_048_576
        return serving
    }

    func following() throws -> FollowingConfig {
        let texts = settings.text(.parents).split(separator: ",").map {
            $0.trimmingPrefix(while: \.isWhitespace)
        }
        guard !texts.isEmpty else { throw settings.wrong(.parents, "one or more mill://KEY@HOST:PORT") }
        let parents = try texts.map { text in
            guard let uri = PeerURI(text) else {
                throw settings.wrong(
                    .parents, "mill://KEY@HOST:PORT with a key of 52 Base32 characters, not \"\(text)\"")
            }
            return PeerEndpoint(key: uri.key, address: uri.address)
        }
        var following = FollowingConfig(parents: parents)
        following.parityStripes = try settings.integer(.parityMin, 0...16)
        following.linkKilobitsPerSecond = UInt32(try settings.integer(.linkMbitPerSec, 0...100_000)) * 1_000
        return following
    }

    func sequencerKey() throws -> VerifyingKey {
        guard let key = Hash32(hex: settings.text(.sequencer)) else {
            throw settings.wrong(
                .sequencer, "the sequencer's signing key, 64 hexadecimal digits (`millrace keys show`)")
        }
        return VerifyingKey(key)
    }

    func socket(on loop: EventLoop) throws -> UDPSocket {
        do throws(LoopError) {
            return try UDPSocket(on: loop, bind: listen)
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
