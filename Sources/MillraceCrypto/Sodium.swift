/// The one place where libsodium is started. Everything here works without it, but on the portable code: starting it
/// lets libsodium pick its AVX2 and SSE kernels. Outputs do not depend on it, so determinism is untouched, and none of
/// libsodium's random functions is ever called: secrets come from the core's `Seed`.

import CSodium

enum Sodium {
    /// Started on first use; later uses cost one load and a compare.
    static let isReady: Bool = sodium_init() >= 0

    @inline(__always) static func start() { _ = isReady }
}

extension UnsafeRawPointer {
    @inline(__always) var octets: UnsafePointer<UInt8> { assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawPointer {
    @inline(__always) var octets: UnsafeMutablePointer<UInt8> { assumingMemoryBound(to: UInt8.self) }
}
