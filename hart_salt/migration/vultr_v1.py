"""The ids of Vultr's API v1, which no longer exists, in the words of v2."""

from __future__ import annotations

#: regions, by name and by number
REGIONS = {
    "new jersey": "ewr", "chicago": "ord", "dallas": "dfw", "seattle": "sea", "los angeles": "lax", "atlanta": "atl",
    "amsterdam": "ams", "london": "lhr", "frankfurt": "fra", "silicon valley": "sjc", "sydney": "syd",
    "toronto": "yto", "paris": "cdg", "tokyo": "nrt", "seoul": "icn", "miami": "mia", "singapore": "sgp",
    "1": "ewr", "2": "ord", "3": "dfw", "4": "sea", "5": "lax", "6": "atl", "7": "ams", "8": "lhr", "9": "fra",
    "12": "sjc", "19": "syd", "22": "yto", "24": "cdg", "25": "nrt", "34": "icn", "39": "mia", "40": "sgp",
}  # fmt: skip
