// Precompiled for GoogleTest programs with LibTorch.
#pragma once

#include <cmake/pch/torch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
