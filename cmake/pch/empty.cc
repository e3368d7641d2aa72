// The source of the targets that own a precompiled header (cmake/Precompiled.cmake).
