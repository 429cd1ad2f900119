/// A Noise handshake (the Noise Protocol Framework, revision 34) in the two patterns Millrace uses, with the suite
/// 25519_ChaChaPoly_SHA256:
///
///     IK: <- s                      the initiator knows the responder's key
///         -> e, es, s, ss
///         <- e, ee, se
///     XX: -> e                      nobody knows anybody
///         <- e, ee, s, es
///         -> s, se
///
/// Written for a sans-IO caller: the ephemeral key is handed in, bytes go in and come out as arrays (a handshake is rare;
/// data never passes here). A message that is not genuine leaves the handshake as it was. Calls out of turn are our own
/// mistake and trap; bytes from a peer never do.

public import MillraceBase

public enum NoiseError: Error, Equatable, Sendable {
    /// The message is shorter than its fixed parts.
    case truncated
    /// A public key that gives an all-zero secret.
    case badKey
    /// A ciphertext that is not genuine: another key, another prologue, another transcript.
    case notGenuine
}

/// How both sides of a handshake come by a secret.
package enum KeyAgreement: Sendable, BitwiseCopyable {
    case curve25519
    /// Not at all: anybody could compute it. For simulations whose datagrams are not encrypted either; a thousand nodes'
    /// handshakes take a second on the curve.
    case standIn
}

public struct NoiseHandshake: Sendable, BitwiseCopyable {
    public enum Pattern: Sendable, BitwiseCopyable { case ik, xx }
    public enum Role: Sendable, BitwiseCopyable { case initiator, responder }

    enum Token { case e, s, ee, es, se, ss }

    public let pattern: Pattern
    public let role: Role
    private let identity: StaticKeyPair
    private let ephemeral: StaticKeyPair
    private let agreement: KeyAgreement
    private var remoteEphemeral: PublicKey?
    /// The peer's key: known from the start to an IK initiator, learnt from a message by the others.
    public private(set) var remoteStatic: PublicKey?
    private var symmetric: NoiseSymmetricState
    /// Messages written and read so far.
    private var step = 0

    /// `remoteStatic` is the responder's key for an IK initiator and nil for everybody else. `ephemeral` must be fresh.
    public init(
        pattern: Pattern, role: Role, prologue: [UInt8], identity: StaticKeyPair,
        remoteStatic: PublicKey? = nil,
        ephemeral: StaticKeyPair
    ) {
        self.init(
            pattern: pattern, role: role, prologue: prologue, identity: identity, remoteStatic: remoteStatic,
            ephemeral: ephemeral, agreement: .curve25519)
    }

    package init(
        pattern: Pattern, role: Role, prologue: [UInt8], identity: StaticKeyPair,
        remoteStatic: PublicKey?, ephemeral: StaticKeyPair, agreement: KeyAgreement
    ) {
        precondition(
            (remoteStatic != nil) == (pattern == .ik && role == .initiator),
            "an IK initiator, and nobody else, begins with the peer's key")
        self.pattern = pattern
        self.role = role
        self.identity = identity
        self.remoteStatic = remoteStatic
        self.ephemeral = ephemeral
        self.agreement = agreement
        switch pattern {
        case .ik: symmetric = NoiseSymmetricState(protocolName: "Noise_IK_25519_ChaChaPoly_SHA256")
        case .xx: symmetric = NoiseSymmetricState(protocolName: "Noise_XX_25519_ChaChaPoly_SHA256")
        }
        symmetric.mixHash(prologue)
        // The pre-message of IK: the responder's key.
        if pattern == .ik { symmetric.mixHash((remoteStatic ?? identity.publicKey).bytes) }
    }

    private static func tokens(_ pattern: Pattern, _ step: Int) -> [Token] {
        switch (pattern, step) {
        case (.ik, 0): [.e, .es, .s, .ss]
        case (.ik, 1): [.e, .ee, .se]
        case (.xx, 0): [.e]
        case (.xx, 1): [.e, .ee, .s, .es]
        case (.xx, 2): [.s, .se]
        default: []
        }
    }

    /// Whether all messages have passed.
    public var isComplete: Bool { step == (pattern == .ik ? 2 : 3) }
    /// Whether the next message is ours to write.
    public var isOurTurn: Bool { !isComplete && (step % 2 == 0) == (role == .initiator) }
    /// The transcript's hash: equal on both sides, unique to this handshake.
    public var handshakeHash: Hash32 { symmetric.hash }

    /// The next message, with a payload: encrypted, except in XX's first message.
    public mutating func write(payload: [UInt8]) throws(NoiseError) -> [UInt8] {
        precondition(isOurTurn, "a handshake message written out of turn")
        var next = self
        var message: [UInt8] = []
        for token in Self.tokens(pattern, step) {
            switch token {
            case .e:
                message += ephemeral.publicKey.bytes
                next.symmetric.mixHash(ephemeral.publicKey.bytes)
            case .s:
                next.symmetric.encryptAndHash(identity.publicKey.bytes, into: &message)
            case .ee, .es, .se, .ss:
                try next.mix(token)
            }
        }
        next.symmetric.encryptAndHash(payload, into: &message)
        next.step += 1
        self = next
        return message
    }

    /// Takes the peer's next message and gives its payload.
    public mutating func read(_ message: [UInt8]) throws(NoiseError) -> [UInt8] {
        precondition(!isOurTurn && !isComplete, "a handshake message read out of turn")
        var next = self
        var rest = message[...]
        for token in Self.tokens(pattern, step) {
            switch token {
            case .e:
                guard rest.count >= 32, let key = PublicKey(Array(rest.prefix(32))) else { throw .truncated }
                rest = rest.dropFirst(32)
                next.remoteEphemeral = key
                next.symmetric.mixHash(key.bytes)
            case .s:
                let count = 32 + next.symmetric.overhead
                guard rest.count >= count else { throw .truncated }
                guard let bytes = next.symmetric.decryptAndHash(rest.prefix(count)),
                    let key = PublicKey(bytes)
                else {
                    throw .notGenuine
                }
                rest = rest.dropFirst(count)
                next.remoteStatic = key
            case .ee, .es, .se, .ss:
                try next.mix(token)
            }
        }
        guard rest.count >= next.symmetric.overhead else { throw .truncated }
        guard let payload = next.symmetric.decryptAndHash(rest) else { throw .notGenuine }
        next.step += 1
        self = next
        return payload
    }

    /// One Diffie-Hellman. The first letter is the initiator's key, the second the responder's.
    private mutating func mix(_ token: Token) throws(NoiseError) {
        let initiates = role == .initiator
        let ours: StaticKeyPair
        let theirs: PublicKey?
        switch token {
        case .ee: (ours, theirs) = (ephemeral, remoteEphemeral)
        case .ss: (ours, theirs) = (identity, remoteStatic)
        case .es: (ours, theirs) = initiates ? (ephemeral, remoteStatic) : (identity, remoteEphemeral)
        case .se: (ours, theirs) = initiates ? (identity, remoteEphemeral) : (ephemeral, remoteStatic)
        case .e, .s: preconditionFailure("\(token) is not a Diffie-Hellman")
        }
        guard let theirs else { throw .badKey }
        let agreed =
            agreement == .standIn ? ours.standInSecret(with: theirs) : ours.sharedSecret(with: theirs)
        guard let secret = agreed else { throw .badKey }
        symmetric.mixKey(secret)
    }

    /// The keys of the session. The handshake must be complete.
    public func transportKeys() -> (sending: SealingKey, receiving: SealingKey) {
        precondition(isComplete, "keys of a handshake that is not complete")
        let (first, second) = symmetric.split()
        return role == .initiator ? (first, second) : (second, first)
    }
}
