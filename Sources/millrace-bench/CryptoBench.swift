/// Hashes, signatures and sessions, the libsodium ones beside libsodium called directly. Also counts allocations per
/// datagram sealed and opened, which must be none.

import ArgumentParser
import CMillraceCounting
import CSodium
import MillraceBase
import MillraceCore
import MillraceCrypto

struct CryptoBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crypto",
        abstract: "Keccak-256, BLAKE2b, Ed25519 and session datagrams, beside libsodium.")
    @OptionGroup var options: BenchOptions

    func run() throws {
        var report = BenchReport("crypto")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 64)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 7)
        guard let base = buffer.baseAddress else { return }
        hashes(base, into: &report)
        signatures(base, into: &report)
        try sessions(buffer, into: &report)
        report.print(json: options.json)
    }

    private func hashes(_ base: UnsafeMutableRawPointer, into report: inout BenchReport) {
        let octets = base.assumingMemoryBound(to: UInt8.self)
        var key: UInt64 = 0
        let slots = rate(seconds: options.seconds) {
            for _ in 0..<64 { key = Keccak256.mappingSlot(key: U256(key), base: .one).w0 }
        }
        report.row("Keccak-256 mapping slots", slots * 64, "hashes/s")
        let keccak = rate(seconds: options.seconds) { base.store(Keccak256.hash(base, count: 13_600)) }
        report.row("Keccak-256 of 13,600 B", keccak * 0.0136, "MB/s")
        for bytes in [64, 128, 1_190] {
            let ours = rate(seconds: options.seconds) {
                for _ in 0..<64 { Blake2b.hash(base, count: bytes, into: base + 8_192) }
            }
            let theirs = rate(seconds: options.seconds) {
                for _ in 0..<64 {
                    crypto_generichash_blake2b(octets + 8_192, 32, octets, UInt64(bytes), nil, 0)
                }
            }
            report.row("BLAKE2b-256 of \(bytes) B", ours * 64, "hashes/s", peer: "C", theirs * 64)
        }
    }

    private func signatures(_ base: UnsafeMutableRawPointer, into report: inout BenchReport) {
        let key = SigningKey(seed: Blake2b.hash([1]))
        let signature = key.sign(base, count: 500)
        report.row(
            "Ed25519 signatures of 500 B",
            rate(seconds: options.seconds) { base.store(key.sign(base + 64, count: 500).r) }, "/s")
        report.row(
            "Ed25519 verifications of 500 B",
            rate(seconds: options.seconds) {
                _ = key.verifyingKey.isValid(signature, over: base, count: 500)
            }, "/s")
    }

    private func sessions(_ buffer: UnsafeMutableRawBufferPointer, into report: inout BenchReport) throws {
        let now = Instant(nanoseconds: 1)
        func table(_ name: String) -> SessionTable {
            var config = SessionConfig(
                identity: StaticKeyPair(privateKey: Blake2b.hash(Array(name.utf8))),
                prologue: SessionConfig.prologue(chainID: 1), startMicroseconds: 1)
            config.sessionsMax = 16
            config.rekeyAfterDatagrams = .max
            return SessionTable(config: config, seed: Seed(UInt64(name.utf8.count)), now: now)
        }
        let (pa, pb) = (PeerAddress.loopback(port: 1), PeerAddress.loopback(port: 2))
        func part(_ count: Int) -> UnsafeMutableRawBufferPointer { .init(rebasing: buffer[..<count]) }
        func handshake() -> (SessionTable, SessionTable, SessionID?) {
            let (a, b) = (table("a"), table("bb"))
            let id = a.connect(to: b.publicKey, at: pb, now: now)
            var isMoving = true
            while isMoving {
                isMoving = false
                while let (count, _) = a.nextDatagram(into: buffer) {
                    _ = b.receive(part(count), from: pa, now: now)
                    isMoving = true
                }
                while let (count, _) = b.nextDatagram(into: buffer) {
                    _ = a.receive(part(count), from: pb, now: now)
                    isMoving = true
                }
            }
            return (a, b, id)
        }
        report.row("IK handshakes, both sides", rate(seconds: options.seconds) { _ = handshake() }, "/s")
        let (a, b, made) = handshake()
        guard let id = made, a.isEstablished(id) else {
            throw BenchFailure("the handshake of the benchmark failed")
        }
        for bytes in [1_200, 200] {
            var opened = 0
            let trip = {
                guard let count = a.seal(buffer, plaintextCount: bytes, for: id, now: now) else { return }
                if case .frames = b.receive(part(count), from: pa, now: now) { opened += 1 }
            }
            let ours = rate(seconds: options.seconds, trip)
            let theirs = rate(seconds: options.seconds) { Self.libsodium(buffer, bytes) }
            report.row("seal and open \(bytes) B", ours, "datagrams/s", peer: "C, cipher only", theirs)
            let (before, openedBefore) = (mr_allocation_count(), opened)
            for _ in 0..<1_000 { trip() }
            let made = mr_allocation_count() - before
            guard opened - openedBefore == 1_000 else {
                throw BenchFailure("a datagram of the benchmark was refused")
            }
            report.row("allocations in 1,000 of them", Double(made), "(must be 0)")
            // A debug build boxes what the optimizer keeps in registers.
            guard made == 0 || Machine.build == "debug" else {
                report.print(json: options.json)
                throw BenchFailure("sealing and opening 1,000 datagrams allocated \(made) times")
            }
        }
    }

    /// What libsodium alone takes to encrypt and decrypt.
    private static func libsodium(_ buffer: UnsafeMutableRawBufferPointer, _ bytes: Int) {
        guard let base = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        let (text, key, nonce) = (base + 8, base + 8_192, base + 8_256)
        crypto_aead_chacha20poly1305_ietf_encrypt(text, nil, text, UInt64(bytes), base, 8, nil, nonce, key)
        _ = crypto_aead_chacha20poly1305_ietf_decrypt(
            text, nil, nil, text, UInt64(bytes + 16), base, 8, nonce, key)
    }
}

extension UnsafeMutableRawPointer {
    /// Keeps a result alive.
    fileprivate func store(_ hash: Hash32) { hash.store(to: self + 8_192) }
}

/// Why a benchmark's figures would mean nothing.
private struct BenchFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
