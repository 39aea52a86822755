"""What the stages ask: claim, settle and wake, for a payment and for a refund."""
