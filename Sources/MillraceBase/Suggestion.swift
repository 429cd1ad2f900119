/// "Did you mean": the nearest of a few known names, for errors about text that people type.
public enum Suggestion {
    /// The candidate with the fewest edits (Levenshtein) from `text`, when that is at most a third of its length and at least
    /// one edit is allowed; the first in case of a tie. Cost: lengths multiplied, over names cut at 64 bytes.
    public static func nearest(to text: String, among candidates: [String]) -> String? {
        let wanted = Array(text.lowercased().utf8.prefix(64))
        var best: (edits: Int, name: String)?
        for name in candidates {
            let edits = distance(wanted, Array(name.lowercased().utf8.prefix(64)))
            if edits <= max(1, max(wanted.count, name.utf8.count) / 3), edits < best?.edits ?? .max {
                best = (edits, name)
            }
        }
        return best?.name
    }

    /// `; did you mean "loss"?`, or nothing: the end of a sentence.
    public static func hint(for text: String, among candidates: [String]) -> String {
        nearest(to: text, among: candidates).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let replaced = diagonal + (a[i] == b[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        return row[b.count]
    }
}
