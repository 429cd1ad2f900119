/// Peer records as bytes, and a peer that says anything about membership to a relay that looks for parents.

import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceWire

private let chainID: UInt64 = 7
private let coreKey = SigningKey(seed: Hash32(word: U256(51)))
private let peerKey = SigningKey(seed: Hash32(word: U256(52)))
private let start = Instant(nanoseconds: 1_000_000_000)
private let coreAddress = PeerAddress(ipv4: 0x7F00_0001, port: 1)
private let peerAddress = PeerAddress(ipv4: 0x7F00_0001, port: 2)
private let wall: UInt64 = 1_700_000_000_000_000

private func record(
    _ key: SigningKey, at address: PeerAddress, issuedAt: UInt64 = wall, childrenFree: UInt16 = 5
) -> PeerRecord {
    var record = PeerRecord(
        key: key.verifyingKey, address: address, chainID: chainID, epoch: 0, issuedAtMicroseconds: issuedAt,
        lifetimeSeconds: 3_600)
    record.childrenFree = childrenFree
    record.sign(with: key)
    return record
}

/// Strangers whose records the peer may pass on.
private let strangers: [PeerRecord] = (0..<24).map { i in
    record(
        SigningKey(seed: Hash32(word: U256(UInt64(100 + i)))),
        at: PeerAddress(ipv4: 0x1400_0000 | UInt32(i) << 14, port: 9_000))
}

private struct MembershipAttack {
    let peer: HostilePeer
    var issuedAt = wall

    mutating func step(_ input: inout FuzzInput) {
        let peer = peer
        switch input.u8() % 8 {
        case 0:
            // Its own record, newer each time, and wherever it likes.
            issuedAt += UInt64(input.u8()) * 1_000_000
            let address = input.u8() & 1 == 0 ? peerAddress : PeerAddress(ipv4: input.u32(), port: 1)
            guard address.port != 0 else { return }
            var bytes = record(
                peerKey, at: address, issuedAt: issuedAt, childrenFree: UInt16(input.u8())
            ).encoded
            let (at, change) = (Int(input.u8()), input.u8())
            if change & 3 == 3 { bytes[at % bytes.count] ^= change }
            peer.say(peer.framed { writer in bytes.withUnsafeBytes { writer.appendRecord($0) } })
        case 1:
            let hops = input.u8() % 10
            let free = UInt16(input.u8())
            peer.say(
                peer.framed { $0.append(.place(hops: hops > 8 ? nil : hops, childrenFree: free)) })
        case 2:
            let request = input.u16()
            let count = 1 + input.below(6)
            peer.say(peer.framed { $0.append(.getPeers(request: request, count: count)) })
        case 3:
            // An answer to every question there may be: requests are guessed here, as no peer could.
            let count = input.below(7)
            var bytes: [UInt8] = []
            for _ in 0..<count { strangers[input.below(strangers.count)].encode(into: &bytes) }
            let request = input.u16()
            peer.say(
                peer.framed { writer in
                    bytes.withUnsafeBytes { writer.appendPeers($0, count: count, answering: request) }
                })
        case 4:
            let alternatives = (0..<input.below(9)).map { _ in
                let stranger = strangers[input.below(strangers.count)]
                return AlternativePeer(
                    key: stranger.key.bytes32, address: PeerAddress(ipv4: input.u32(), port: input.u16()))
            }
            let serial = UInt32(input.u8())
            peer.say(
                peer.framed {
                    $0.appendRefuse(
                        serial: serial, cadence: .c0, reason: .full, retryAfterMilliseconds: 500,
                        alternatives: alternatives)
                })
        case 5: peer.say(input.bytes(Int(input.u8())))
        case 6:
            let time = Int64(input.u8())
            peer.wait(milliseconds: time * time / 4)
        default: peer.exchange()
        }
    }
}

extension FuzzTarget {
    static let peerRecord = FuzzTarget(
        "peer-record", bytesMax: PeerRecordLimits.recordBytesMax + 8,
        seeds: {
            var two = record(peerKey, at: peerAddress)
            two.secondAddress = PeerAddress(high: 0x2001_0DB8 << 32, low: 1, port: 9)
            two.sign(with: peerKey)
            return [two.encoded, record(peerKey, at: peerAddress).encoded]
        }
    ) { bytes in
        guard let record = try? PeerRecord.decode(bytes.bytes) else { return }
        promise(record.encoded == Array(bytes), "a record with two encodings")
        promise(
            record.expiresAtMicroseconds > record.issuedAtMicroseconds, "a record that ends before it begins")
        _ = record.isGenuine
        _ = record.sessionKey
    }

    static let evidence = FuzzTarget(
        "evidence", bytesMax: EquivocationProof.bytesMax + 8,
        seeds: {
            var header = SliceHeader()
            let headers = (0..<3 as Range<UInt64>).map { i -> [UInt8] in
                header.sealedAtMicroseconds = i
                if i == 2 { header.commitment = SliceCommitment(height: 100, hash: .zero) }
                header.sign(with: coreKey)
                return header.encoded
            }
            var seeds: [[UInt8]] = []
            for (a, b) in [(0, 1), (1, 2)] {
                let (first, second) = (headers[a], headers[b])
                if let proof = EquivocationProof(first.span.bytes, second.span.bytes) {
                    seeds.append(proof.encoded)
                }
            }
            return seeds
        }
    ) { bytes in
        guard let proof = try? EquivocationProof.decode(bytes.bytes) else { return }
        promise(proof.encoded == Array(bytes), "a proof with two encodings")
        promise(proof.first.hash != proof.second.hash, "one header twice")
        _ = proof.isSigned(by: coreKey.verifyingKey)
    }

    static let membershipPeer = FuzzTarget(
        "membership-peer", bytesMax: 1_024,
        seeds: {
            let meet: [UInt8] = [0, 1, 0, 9, 0, 0, 1, 2, 5, 7, 6, 40, 7]
            return [
                meet + [6, 60, 7, 3, 6, 0, 1, 2, 3, 4, 5, 0, 0, 6, 90, 7],
                meet + [2, 1, 0, 2, 7, 4, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 7],
                [0, 1, 0, 9, 4, 3] + meet,
            ]
        }
    ) { bytes in
        let identity = StreamIdentity(
            identity: coreKey.agreementKeys, chainID: chainID, startMicroseconds: wall)
        var config = RelayConfig(
            stream: identity, sequencerKey: SigningKey(seed: Hash32(word: U256(42))).verifyingKey,
            following: FollowingConfig(parents: []))
        config.serving.retentionBytesMax = 1 << 20
        config.membership.recordKey = coreKey
        config.membership.addresses = [coreAddress]
        config.membership.bootstrap = [
            PeerEndpoint(key: peerKey.agreementKeys.publicKey, address: peerAddress)
        ]
        config.membership.findsParents = true
        let core = RelayCore(config: config, seed: Seed(3), now: start)
        var input = FuzzInput(bytes)
        let peer = HostilePeer(
            core, connects: input.u8() & 1 == 0, own: peerKey.agreementKeys, other: coreKey.agreementKeys)
        var attack = MembershipAttack(peer: peer)
        var steps = 0
        while !input.isAtEnd, steps < 200 {
            attack.step(&input)
            peer.exchange()
            steps += 1
            let statistics = core.statistics
            promise(statistics.peersKnown <= 25, "peers that nobody has told of: \(statistics.peersKnown)")
            promise(statistics.peersReached <= 1, "a peer was reached that does not answer")
            promise(statistics.parentsFound <= 1, "a parent that does not answer")
            promise(core.peers.allSatisfy { $0.address == peerAddress }, "a session with a stranger")
        }
    }
}
