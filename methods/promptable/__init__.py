"""Models that are prompted: points, boxes and a mask go in, masks with scores come out.

SAM and its kin. Others that encode the image once and decode prompts after each click belong here.
"""
