"""The reasons that the Guesty API takes for a cancellation. Pure."""

from __future__ import annotations

#: The only ones that a cancellation may give.
REASONS = frozenset(
    {
        "No Reason Provided",
        "Cancelled Due to Hold/Expiration",
        "Not Comfortable For Owner",
        "Not a Good Fit For Guest",
        "Personal Circumstances",
        "Guest Convenience",
        "Policy Compliance",
        "OTA Policy",
        "Property Issues",
        "Security & Legal Concerns",
        "Management/Ownership Changes",
        "Financial Issues",
        "External Factors",
        "Communication/Technical Issues",
        "Others",
    }
)
