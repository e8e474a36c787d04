#include "shape.h"

#include <bit>

namespace lmzip::mix {

static constexpr std::size_t kGroupBits = 5;  // of the largest group of a high digit

Shape::Shape(std::size_t v) : vocab(v), digits((v + 255) / 256) {
    high_bits = static_cast<unsigned>(std::bit_width(digits - 1));
    bits = high_bits + 8;
    high_groups = (high_bits + kGroupBits - 1) / kGroupBits;
    for (std::size_t i = 0; i < high_groups; ++i)  // as equal as can be, the longer ones first
        groups.push_back(static_cast<unsigned>((high_bits + high_groups - 1 - i) / high_groups));
    groups.insert(groups.end(), {4, 4});
    nodes = 0;
    unsigned coded = 0;
    for (const unsigned group : groups) {
        before.push_back(coded);
        first_node.push_back(nodes);
        coded += group;
        nodes += std::size_t{1} << group;
    }
    set_sizes = {bits * 16u, kLevels * 8, nodes * 4, 1024 * 4, 256u * bits, 2048};
    set_total = 0;
    for (std::size_t i = 0; i < kSets; ++i) {
        set_starts[i] = set_total;
        set_total += set_sizes[i];
    }
    finals = bits * kLevels;
    history_cells = kContexts * 512;
    follower_cells = kContexts * kFollowerCells;
    match_cells = 32u * bits * 3;
}

}  // namespace lmzip::mix
