/// A mesh whose nodes find each other: helpers that give nodes a record and somebody to ask.

import MillraceBase
import MillraceCrypto
import MillraceWire

@testable import MillraceCore

extension Mesh {
    /// An address in a subnet of its own: 20.x.0.0/16 and so on, with a port that no other node has.
    func address(subnet: Int, host: Int) -> PeerAddress {
        PeerAddress(
            ipv4: UInt32(20 + subnet / 256) << 24 | UInt32(subnet % 256) << 16 | UInt32(host),
            port: UInt16(10_000 + nodes.count))
    }

    /// A relay that is listed.
    func addListedRelay(
        _ name: String, parents: [Node] = [], bootstrap: [Node] = [], at address: PeerAddress? = nil,
        _ adjust: (inout RelayConfig) -> Void = { _ in }
    ) -> Node {
        let address = address ?? nextAddress
        return addRelay(name, parents: parents, at: address) { config in
            config.membership.recordKey = recordKey(name)
            config.membership.addresses = [address]
            config.membership.bootstrap = endpoints(bootstrap)
            config.membership.findsParents = !bootstrap.isEmpty
            adjust(&config)
        }
    }

    /// A replica that looks for parents.
    func addSeekingReplica(
        _ name: String, bootstrap: [Node], at address: PeerAddress? = nil,
        _ adjust: (inout ReplicaConfig) -> Void = { _ in }
    ) -> Node {
        addReplica(name, parents: [], at: address) { config in
            config.membership.bootstrap = endpoints(bootstrap)
            config.membership.findsParents = true
            adjust(&config)
        }
    }
}

extension Mesh.Node {
    var parentReports: [PeerReport] { core.peers.filter { $0.isParent && $0.stripesFrom > 0 } }
    var parentAddresses: Set<PeerAddress> { Set(parentReports.map(\.address)) }
}
