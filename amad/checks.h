/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checks.h - what "amactl doctor" looks at: amactl(1), "Checks of doctor" */
#pragma once

#include "doctor.h"

/* Beside the facts of facts.h: pool [text], access [text], proxy, through (text) of the configuration. */
extern const struct doctor_check amad_checks[];
