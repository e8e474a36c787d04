#include "table.h"

#include <cstdlib>
#include <new>

namespace lmzip::mix {

void Table::Free::operator()(void* p) const { std::free(p); }

std::uint16_t Node::find(std::uint32_t token) const {
    std::uint16_t i = 0;
    while (i < size && entries()[i] >> 8 != token) ++i;
    return i;
}

Table::Table(unsigned bits, std::size_t most)
    : bits_(bits), most_(most), stride_(sizeof(Node) + most * sizeof(std::uint32_t)) {
    // Zeros from the system: pages that are never written are never there.
    memory_.reset(static_cast<std::uint8_t*>(std::calloc(stride_, std::size_t{1} << bits)));
    if (!memory_) throw std::bad_alloc();
}

Node& Table::at(std::size_t index) const {
    return *reinterpret_cast<Node*>(memory_.get() + index * stride_);
}

void Table::prefetch([[maybe_unused]] std::uint64_t hash) const {
#if defined(__GNUC__)
    __builtin_prefetch(&at(hash >> (64 - bits_)));
#endif
}

Node* Table::seek(std::uint64_t hash) const {
    const std::size_t index = hash >> (64 - bits_);
    const std::uint32_t check = static_cast<std::uint32_t>(hash) | 1;
    for (const std::size_t place : {index, index ^ 1})
        if (at(place).check == check) return &at(place);
    return nullptr;
}

void Table::add(std::uint64_t hash, std::uint32_t token) {
    Node* found = seek(hash);
    if (found == nullptr) {
        const std::size_t index = hash >> (64 - bits_);
        found = at(index).total <= at(index ^ 1).total ? &at(index) : &at(index ^ 1);
        *found = {static_cast<std::uint32_t>(hash) | 1, 0, 0};
    }
    Node& node = *found;
    std::uint32_t* entries = node.entries();
    std::uint16_t place = node.find(token);
    // What did not come now fades.
    for (std::uint16_t i = 0; i < node.size; ++i)
        if (i != place) entries[i] -= ((entries[i] & 255) * 8 + 128) >> 8;
    if (place == node.size) {
        if (node.size < most_) {
            ++node.size;
        } else {
            place = 0;
            for (std::uint16_t i = 1; i < node.size; ++i)
                if ((entries[i] & 255) < (entries[place] & 255)) place = i;
        }
        entries[place] = token << 8;
    }
    if ((entries[place] & 255) == 255)
        for (std::uint16_t i = 0; i < node.size; ++i)
            entries[i] -= (entries[i] & 255) / 2;
    ++entries[place];
    node.total = 0;
    for (std::uint16_t i = 0; i < node.size; ++i)
        node.total = static_cast<std::uint16_t>(node.total + (entries[i] & 255));
}

}  // namespace lmzip::mix
