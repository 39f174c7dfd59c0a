# SPDX-License-Identifier: MIT
# Prints the input line that is nearest to the variable `word` by Levenshtein's edit distance.
function distance(a, b,    i, j, row, diagonal, above) {
    for (j = 0; j <= length(b); j++) row[j] = j
    for (i = 1; i <= length(a); i++) {
        diagonal = row[0]
        row[0] = i
        for (j = 1; j <= length(b); j++) {
            above = row[j]
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (substr(a, i, 1) != substr(b, j, 1)))
            diagonal = above
        }
    }
    return row[length(b)]
}
function least(x, y, z) { return x < y ? (x < z ? x : z) : (y < z ? y : z) }
{
    d = distance(word, $0)
    if (NR == 1 || d < best) { best = d; nearest = $0 }
}
END { print nearest }
