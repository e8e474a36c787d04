// The Python module lmzip._native. It only binds: checks are on shapes, arithmetic is elsewhere.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "frequencies.h"
#include "quantize.h"

namespace nb = nanobind;

using Input = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

using Floats = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<std::int8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Steps = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

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
    m.def(
        "hadamard",
        [](Floats x, std::size_t block) {
            if (block == 0 || (block & (block - 1)) != 0 || x.shape(1) % block != 0)
                throw std::invalid_argument("block must be a power of two that divides the width");
            nb::gil_scoped_release release;
            lmzip::hadamard(x.data(), x.shape(0), x.shape(1), block);
        },
        nb::arg("x").noconvert(), nb::arg("block"),
        "Every block of x [rows, width] times the Hadamard matrix, in place.");
    m.def(
        "quantize",
        [](Floats x, Bytes q, Steps step) {
            if (q.shape(0) != x.shape(0) || q.shape(1) != x.shape(1) ||
                step.shape(0) != x.shape(0))
                throw std::invalid_argument("x and q must be [rows, width], step [rows]");
            nb::gil_scoped_release release;
            lmzip::quantize(x.data(), q.data(), step.data(), x.shape(0), x.shape(1));
        },
        nb::arg("x").noconvert(), nb::arg("q").noconvert(), nb::arg("step").noconvert(),
        "Int8 values [rows, width] and steps [rows] of x [rows, width].");
}
