// How a vocabulary's tokens are cut into decisions, and how many situations there are (NUMERICS.md, section
// 13, "Decisions and groups" and "Sets"). The readable twin is lmzip/mix/shape.py.

#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "../kernels.h"
#include "text_state.h"

namespace lmzip::mix {

constexpr std::size_t kInputs = 4 + 3 * kContexts;  // the model's, a constant, two of the match, three of a context
constexpr std::size_t kSets = kMixSets;  // of weights, each of which mixes all inputs
constexpr std::size_t kLevels = 24;  // of how sure the model is
constexpr std::size_t kFollowerCells = 2 * 8 * 3 * 16;  // of a context: branched, place, agreement, run

static_assert(kInputs == kMixInputs);

struct Shape {
    explicit Shape(std::size_t vocab);

    std::size_t vocab, digits;
    unsigned high_bits, bits;      // of a high digit, of a token
    std::vector<unsigned> groups;  // bits of each
    std::size_t high_groups;       // the first ones, of the high digit
    std::vector<unsigned> before;  // bits of a token before each group
    std::vector<std::size_t> first_node;  // of each group, among all groups' nodes
    std::size_t nodes;
    std::array<std::size_t, kSets> set_sizes, set_starts;
    std::size_t set_total, finals;
    std::size_t history_cells, follower_cells, match_cells;

    // Of all maps.
    std::size_t map_cells() const { return history_cells + follower_cells + match_cells; }
};

}  // namespace lmzip::mix
