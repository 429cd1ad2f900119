/// Who a node is: one 32-byte secret in a file, from which follow the key that signs its peer record (Ed25519) with its session
/// key (X25519, the same key in another form: Spec 65.2) and, on a sequencer, the key that signs the stream (Ed25519). The file
/// holds 64 hexadecimal digits and a newline, readable by its owner only.

import Foundation
public import MillraceBase
public import MillraceCrypto

public struct Identity: Sendable {
    private let secret: Hash32

    public init(secret: Hash32) { self.secret = secret }

    /// The Ed25519 key that signs the node's peer record: BLAKE2b-256 of a label under the secret as key.
    public var record: SigningKey {
        SigningKey(seed: Blake2b.hash(Array("millrace record key".utf8).span.bytes, key: secret))
    }

    /// The X25519 key pair of sessions.
    public var session: StaticKeyPair { record.agreementKeys }

    /// The Ed25519 key that signs slice headers.
    public var signing: SigningKey {
        SigningKey(seed: Blake2b.hash(Array("millrace signing key".utf8).span.bytes, key: secret))
    }

    /// Reads an identity file; the error says what is wrong with it.
    public static func load(path: String) throws -> Identity {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigError(
                "\(path): cannot read the identity file; `millrace keys generate --out \(path)` makes one")
        }
        let text = String(decoding: data.prefix(256), as: UTF8.self).trimmingCharacters(
            in: .whitespacesAndNewlines)
        guard let secret = Hash32(hex: text) else {
            throw ConfigError(
                "\(path): an identity file holds 64 hexadecimal digits, this one holds \(data.count) other bytes"
            )
        }
        return Identity(secret: secret)
    }

    /// Writes a new identity, readable by its owner only. Refuses to replace a file.
    public func save(path: String) throws {
        guard !FileManager.default.fileExists(atPath: path) else {
            throw ConfigError("\(path): the file exists; an identity is never overwritten")
        }
        let text = Hex.encode(secret.bytes) + "\n"
        guard
            FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        else { throw ConfigError("\(path): cannot be written") }
    }
}

/// `mill://<base32 session key>@host:port`: how a peer is written.
public struct PeerURI: Hashable, Sendable, CustomStringConvertible {
    public var key: PublicKey
    public var address: PeerAddress

    public init(key: PublicKey, address: PeerAddress) {
        self.key = key
        self.address = address
    }

    /// Nil unless it is `mill://`, 52 Base32 characters, `@` and a numeric address with a port other than 0.
    public init?(_ text: some StringProtocol) {
        guard text.hasPrefix("mill://") else { return nil }
        let parts = text.dropFirst(7).split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, let key = PublicKey(base32: String(parts[0])),
            let address = PeerAddress(String(parts[1])), address.port != 0
        else { return nil }
        self.init(key: key, address: address)
    }

    public var description: String { "mill://\(key)@\(address)" }
}
