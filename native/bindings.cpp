// The Python module lmzip._native. It only binds: checks are on shapes, arithmetic is elsewhere.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "frequencies.h"

namespace nb = nanobind;

using Input = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

NB_MODULE(_native, m) {
    m.doc() = "Kernels of lmzip; each has a readable twin in Python.";
    m.def(
        "frequencies",
        [](Input weights, Output freqs) {
            if (weights.shape(0) != freqs.shape(0) || weights.shape(1) != freqs.shape(1) ||
                weights.shape(1) == 0)
                throw std::invalid_argument("weights and freqs must have one shape, [rows, n > 0]");
            nb::gil_scoped_release release;
            lmzip::frequencies(weights.data(), freqs.data(), weights.shape(0), weights.shape(1));
        },
        nb::arg("weights").noconvert(), nb::arg("freqs").noconvert(),
        "Frequencies [rows, n] summing to 2**24 a row, from integer weights [rows, n].");
}
