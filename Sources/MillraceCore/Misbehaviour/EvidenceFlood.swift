/// The one thing that is flooded: a proof that the sequencer signed two histories (Spec 67.3). Every node tells every peer, once
/// it has checked it, so that followers of either history learn of the other.
///
///     none ──found here, or heard and verified──▶ held ──told to each peer, up to three times, unless it told us──▶ …
///
/// Bounds: one proof (a stream with one is over), two signature checks per EVIDENCE frame until one is held, none after; three
/// frames of up to 523 bytes to each peer. Wrong ones are offences, so a peer has three tries.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class EvidenceFlood {
    /// One datagram may be lost, three within a second and a half hardly.
    static let tellingsMax = 3
    static let interval = Interval.milliseconds(500)

    private let endpoint: Endpoint
    private let chainID: UInt64
    private let epoch: UInt32
    private let sequencerKey: VerifyingKey
    private(set) var proof: EquivocationProof?
    private var bytes: [UInt8] = []
    private var nextTurn = Instant.distantFuture

    init(endpoint: Endpoint, stream: StreamIdentity, sequencerKey: VerifyingKey) {
        self.endpoint = endpoint
        chainID = stream.chainID
        epoch = stream.epoch
        self.sequencerKey = sequencerKey
    }

    /// A contradiction was found in headers that were verified here. True when it is news.
    @discardableResult
    func found(_ proof: EquivocationProof) -> Bool {
        guard self.proof == nil else { return false }
        self.proof = proof
        bytes = proof.encoded
        tell()
        return true
    }

    /// EVIDENCE from a peer. Answers what is wrong with it.
    func heard(_ evidence: RawSpan, from peer: Peer) -> Offence? {
        // Any proof is as good as another: what a peer that holds one has seen is enough.
        guard proof == nil else {
            peer.evidenceTellings = EvidenceFlood.tellingsMax
            return nil
        }
        let proof: EquivocationProof
        do throws(WireError) {
            proof = try EquivocationProof.decode(evidence)
        } catch { return error == .inconsistent ? .invalidProof : .malformedFrame }
        // Of another start of the stream: true, perhaps, and no matter of ours.
        guard proof.chainID == chainID, proof.epoch == epoch else { return nil }
        guard endpoint.payloads == .byReference || proof.isSigned(by: sequencerKey) else {
            return .invalidProof
        }
        peer.evidenceTellings = EvidenceFlood.tellingsMax
        found(proof)
        return nil
    }

    func established(_ peer: Peer) {
        if proof != nil { nextTurn = endpoint.now }
    }

    func handleTimeout() { if endpoint.now >= nextTurn { tell() } }

    /// One more time to each peer that may not know it.
    private func tell() {
        nextTurn = .distantFuture
        for peer in endpoint.connected where peer.evidenceTellings < EvidenceFlood.tellingsMax {
            let isSent = endpoint.sendControl(room: 3 + bytes.count, to: peer) { writer in
                bytes.withUnsafeBytes { writer.appendEvidence($0) }
            }
            if isSent { peer.evidenceTellings += 1 }
            if peer.evidenceTellings < EvidenceFlood.tellingsMax {
                nextTurn = endpoint.now + EvidenceFlood.interval
            }
        }
    }

    var nextDeadline: Instant { nextTurn }
}
